"""Small CIFAR archives in every official form, all holding the same random images."""

import io
import pickle
import tarfile

import numpy as np

from cifar_jax.data.layouts import LAYOUTS, PICKLED_LABELS

FORMS = {f"{layout.name}-{'python' if layout.pickled else 'binary'}": layout for layout in LAYOUTS}
NAMES = {"label": "class", "coarse_label": "superclass"}


class Archives:
    """Makes archives; `files` first, so that a test can spoil one before it is packed."""

    forms = tuple(FORMS)

    def arrays(self, form, split, count=4):
        """(images uint8 [N, 32, 32, 3], {label key: int [N]}) of a split, in archive order."""
        layout = FORMS[form]
        total = count * len(layout.batches[split])
        rng = np.random.default_rng([total, split == "test", layout.label_counts[-1]])
        images = rng.integers(0, 256, (total, 32, 32, 3), dtype=np.uint8)
        classes = zip(layout.label_keys, layout.label_counts, strict=True)
        return images, {key: np.arange(total) % number for key, number in classes}

    def files(self, form, count=4, protocol=2):
        """{file name: content} of an archive with `count` images a batch."""
        layout = FORMS[form]
        files = {}
        for split, batches in layout.batches.items():
            images, labels = self.arrays(form, split, count)
            planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            for index, name in enumerate(batches):
                part = slice(index * count, (index + 1) * count)
                columns = {key: values[part] for key, values in labels.items()}
                encode = self._pickled if layout.pickled else self._binary
                files[name] = encode(layout, planes[part], columns, protocol)
        for key, (name, pickled) in layout.names.items():
            number = layout.label_counts[layout.label_keys.index(key)]
            names = [f"{NAMES[key]} {n}" for n in range(number)]
            if pickled:
                content = pickle.loads(files[name]) if name in files else {}
                files[name] = pickle.dumps({**content, pickled: names}, protocol)
            else:
                files[name] = ("\n".join(names) + "\n").encode()
        return files

    def pack(self, path, form, files, prefix=None):
        """Write `files` as a .tar.gz; returns its path."""
        with tarfile.open(path, "w:gz") as tar:
            for name, content in files.items():
                folder = FORMS[form].folder if prefix is None else prefix
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return path

    def make(self, path, form, count=4):
        """A sound archive; returns its path."""
        return self.pack(path, form, self.files(form, count))

    def extract(self, folder, form, files):
        """Write `files` as an extracted archive under `folder`; returns the inner folder."""
        inner = folder / FORMS[form].folder
        inner.mkdir(parents=True)
        for name, content in files.items():
            (inner / name).write_bytes(content)
        return inner

    def _binary(self, layout, planes, columns, protocol):
        labels = np.stack([columns[key] for key in layout.label_keys], 1).astype(np.uint8)
        return np.concatenate([labels, planes], 1).tobytes()

    def _pickled(self, layout, planes, columns, protocol):
        keys = PICKLED_LABELS[layout.name]
        labels = {keys[key].encode(): values.tolist() for key, values in columns.items()}
        return pickle.dumps({b"data": np.ascontiguousarray(planes), **labels}, protocol)
