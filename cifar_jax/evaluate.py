"""Evaluates a trained model on a split: the answer on the screen, all tables with --full, figures and files:

  python -m cifar_jax.evaluate --workdir runs/modified_net
  python -m cifar_jax.evaluate --workdir runs/modified_net --split validation --checkpoint last --no-speed
  python -m cifar_jax.evaluate --compare runs/origin_net runs/modified_net --out runs/comparison

The first two write evaluation.json, predictions.npz and figures/ to --out, by default
WORKDIR/evaluation/SPLIT_CHECKPOINT; cifar_jax/analysis/result.py says what stands in them. The third writes
comparison.json, comparison.md and the confusion matrices side by side. Images are judged as the run judges them, with
its test-time augmentation.
"""

import sys

from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError
from cifar_jax.machine import huge_pages


def parse(argv):
    parser = flags.make_parser("evaluate", __doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--workdir", metavar="FOLDER", help="of a run")
    task.add_argument("--compare", metavar="FOLDER", nargs="+", help="of two runs or more")
    flags.add_run_arguments(parser, "--split", "--checkpoint", "--data_dir")
    parser.add_argument("--out", metavar="FOLDER", help="for the results; of --compare: comparison")
    parser.add_argument("--full", action="store_true", help="print all tables")
    parser.add_argument("--no-speed", action="store_true", help="measure no latency")
    parser.add_argument("--no-figures", action="store_true", help="draw none")
    shown = "draw the example images at random; by default the most confident ones are shown"
    parser.add_argument("--seed", type=int, metavar="N", help=shown)
    return parser.parse_args(argv)


def evaluate_run(arguments, console):
    """Evaluate a run, write its files and print its tables; return the folder."""
    from cifar_jax import trained
    from cifar_jax.analysis import result
    from cifar_jax.console import tables
    from cifar_jax.machine import runtime

    out = arguments.out and result.open_folder(arguments.out)  # said before anything is computed
    run = trained.open_run(arguments.workdir, arguments.checkpoint, arguments.data_dir)
    runtime.enable_compilation_cache(run.config.compilation_cache)
    name = f"{arguments.split}_{run.checkpoint}"
    data = trained.split(run, arguments.split)
    out = out or result.open_folder(run.workdir / "evaluation" / name)
    replaced = result.earlier_evaluation(out)
    evaluation, predictions = result.evaluate(run, arguments.split, data, not arguments.no_speed)
    result.write(out, evaluation, predictions)
    written = f"{out}/evaluation.json, {out}/predictions.npz"
    if not arguments.no_figures:
        from cifar_jax.analysis import figures
        from cifar_jax.runs import writers

        rows = writers.read_rows(run.workdir / "metrics.jsonl")
        figures.write(out / "figures", evaluation, predictions, data[0], rows, arguments.seed)
        written += f", {out}/figures"
    say = _sayer(console)
    say(f"{run.workdir}: checkpoint {run.checkpoint}, step {run.step:,}")
    if evaluation["optimistic"]:
        say(f"Better than on new images: {evaluation['optimistic']}.")
    console.print(tables.to_rich(tables.answer(evaluation)))
    for table in tables.of_evaluation(evaluation) if arguments.full else ():
        console.print()
        console.print(tables.to_rich(table))
    if arguments.full and (pairs := tables.confused_pairs(evaluation)):
        say("\nMost confused", *(f"  {pair}" for pair in pairs))
    say(f"\nResults: {written}{'' if arguments.full else '; all tables: --full'}", *replaced)
    return out


def compare_runs(arguments, console):
    """Compare runs, write the files and print the tables; return the folder."""
    from cifar_jax import trained
    from cifar_jax.analysis import comparison, result, style
    from cifar_jax.analysis.charts import evaluation as charts
    from cifar_jax.console import tables
    from cifar_jax.machine import files, runtime

    if len(arguments.compare) < 2:
        raise UserError("--compare takes two workdirs or more")
    out = result.open_folder(arguments.out or "comparison")
    runs = {  # all of them before the first is evaluated: the last may not be there
        name: trained.open_run(workdir, arguments.checkpoint, arguments.data_dir)
        for name, workdir in comparison.short_names(arguments.compare).items()
    }
    evaluations, predictions = {}, {}
    for name, run in runs.items():
        runtime.enable_compilation_cache(run.config.compilation_cache)
        split = trained.split(run, arguments.split)
        evaluations[name], predictions[name] = result.evaluate(run, arguments.split, split, False)
        comparison.check_same_images(evaluations)
    compared = comparison.compare(evaluations, predictions)
    shown, remarks = tables.of_comparison(compared), tables.remarks(compared)
    replaced = result.earlier_comparison(out)
    files.write_json(out / "comparison.json", compared)
    listed = "\n".join(f"- {each}" for each in remarks)
    parts = ["# Comparison", *map(tables.to_markdown, shown), listed]
    written = f"{out}/comparison.json, {out}/comparison.md"
    if not arguments.no_figures:
        style.save(charts.confusions(compared), out, "confusion")
        parts.append("![Confusion matrices side by side](confusion.png)")
        written += f", {out}/confusion.png"
    files.write_text(out / "comparison.md", "\n\n".join(parts) + "\n")
    for table in shown:
        console.print(tables.to_rich(table))
        console.print()
    say = _sayer(console)
    say(*remarks, f"\nResults: {written}", *replaced)
    return out


def _sayer(console):
    return lambda *lines: console.print(*lines, sep="\n", markup=False, soft_wrap=True)


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    arguments = parse(argv)
    from rich.console import Console

    do = compare_runs if arguments.compare else evaluate_run
    do(arguments, Console(highlight=False))


if __name__ == "__main__":
    huge_pages.restart()
    sys.exit(main())
