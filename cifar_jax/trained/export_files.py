"""Writes a trained model in each of its forms, into files that get their names when an ExitStack ends well."""

from cifar_jax.machine import runtime
from cifar_jax.trained import export, export_check, onnx_model, saved_model

YOURS = "np.load('images.npy')"  # where `export_check.call` has the images


def write_program(stack, run, path, platforms, batch, folder=None, partial_folder=None):
    """Write the file of jax.export, and a SavedModel where a folder is named.

    Args:
        stack: contextlib.ExitStack.
        run: trained.Trained.
        path: pathlib.Path of the file.
        platforms: some of export.PLATFORMS.
        batch: images of a call, None for any number.
        folder, partial_folder: the SavedModel's name, and the folder where it is until the stack ends.
    Returns:
        list of export_check.Reader.
    Raises:
        UserError: it can't be written.
    """
    exported, versions = export.export(run, platforms, batch), runtime.versions()
    readers = []
    if folder:
        saved_model.write(partial_folder, exported)
        versions["tensorflow"] = saved_model.tensorflow().__version__
        lines = saved_model.how_to_load(partial_folder.absolute(), YOURS)
        of_folder = export_check.of_saved_model(folder, lines, platforms, versions["tensorflow"])
        readers.append(of_folder)
    content = bytes(exported.serialize())
    form = export.of_program(exported)
    about = export.describe(run, batch, content, path.name, versions, **form)
    partial = stack.enter_context(export.writing(path, content, about))
    lines = export.how_to_load(partial.absolute(), YOURS)
    return [export_check.of_file(path, lines, platforms), *readers]


def write_onnx(stack, run, path, batch):
    """Write the ONNX file, as `write_program`."""
    onnx, onnxruntime = onnx_model.packages()
    model, versions = onnx_model.of_run(run, batch), runtime.versions()
    versions |= {each.__name__: each.__version__ for each in (onnx, onnxruntime)}
    content = model.SerializeToString(deterministic=True)
    form = {"opset": model.opset_import[0].version, "ir_version": model.ir_version}
    about = export.describe(run, batch, content, path.name, versions, **form)
    partial = stack.enter_context(export.writing(path, content, about))
    lines = onnx_model.how_to_load(partial.absolute(), YOURS)
    return [export_check.of_onnx(path, lines, onnxruntime.__version__)]
