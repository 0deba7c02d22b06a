#!/usr/bin/env python3
"""Draws the lines that bench_run has written: one SVG for each benchmark. See README.md.

tools/bench_plot starts this. A picture has a row of panels for each thing measured and a column for
each number of workers; in a panel the bars are grouped by case, the best of each group on top.
"""

import argparse
import os
import subprocess
import sys
import textwrap

import arena_report

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USAGE = """\
usage: tools/bench_plot [-o DIR] [--only NAME]... [--workers LIST] [--help] [FILE]

Draws the lines of JSON in FILE (default bench-results.jsonl), which tools/bench_run has written:
one picture DIR/NAME.svg for each benchmark, Skua's bars in colour, baselines hollow, the thin line
on a bar from the smallest figure to the 95th percentile. Installs python3-matplotlib if need be.

  -o DIR          where the pictures go (default bench-plots; made if need be)
  --only NAME     only this benchmark; may be given more than once, or a list with commas
  --workers LIST  only runs with so many workers, with commas (default: all there are)

Exit codes: 0 drawn, 1 the file or matplotlib is not usable or DIR cannot be written, 2 usage.
"""
LOG_SPREAD = 30  # the axis is logarithmic if the largest figure is more than so many times larger
COLOURS = {"skua": "#0b7a75", "peer": "#b0b7bf", "baseline": "#ffffff"}
INK, EDGE = "#22272b", "#6c757d"
BAR_INCHES, HEAD_BARS, WIDTH_INCHES = 0.24, 1.0, 5.4


def fail(text, status=1):
    print(f"tools/bench_plot: {text}", file=sys.stderr)
    sys.exit(status)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"tools/bench_plot: {message}\n{USAGE}", file=sys.stderr, end="")
        sys.exit(2)


def parse_arguments():
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-o", dest="folder", default="bench-plots")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--workers")
    parser.add_argument("file", nargs="?", default="bench-results.jsonl")
    options = parser.parse_args()
    if options.help:
        print(USAGE, end="")
        sys.exit(0)
    options.only = [name for part in options.only for name in part.split(",")]
    try:
        options.workers = {int(part) for part in (options.workers or "").split(",") if part}
    except ValueError:
        parser.error("--workers is a list of numbers, for example 1,2")
    return options


def load(options):
    """(machine's line, summaries) that were asked for; ends the program if there are none."""
    try:
        machine, lines = arena_report.read_lines(options.file)
    except arena_report.BadFile as error:
        fail(str(error))
    # Those in the file are missing where a run was ended the hard way.
    summaries = arena_report.summarise(lines)
    if not summaries:
        fail(f"{options.file}: no line in it tells a figure")
    names = list(dict.fromkeys(line["bench"] for line in summaries))
    for name in options.only:
        if name not in names:
            fail(f"no benchmark '{name}' in {options.file}; there are {', '.join(names)}", 2)
    found = [line for line in summaries
             if (not options.only or line["bench"] in options.only)
             and (not options.workers or line["workers"] in options.workers)]
    if not found:
        fail(f"{options.file}: no runs with so many workers", 2)
    return machine, found


def matplotlib_pyplot():
    """The module, installed if need be."""
    try:
        import matplotlib
    except ImportError:
        command = [os.path.join(TOP, "tools/install_packages"), "python3-matplotlib"]
        done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True,
                              check=False)
        try:
            import matplotlib
        except ImportError:
            reason = done.stderr.strip().splitlines()[-1:] or ["this Python does not find it"]
            fail(f"no matplotlib: {reason[0].removeprefix('packages: ')}")
    matplotlib.use("svg")
    # The same lines give the same bytes, and text that a browser can search.
    matplotlib.rcParams.update({
        "svg.hashsalt": "skua", "svg.fonttype": "none", "font.size": 9, "text.color": INK,
        "axes.labelcolor": INK, "xtick.color": EDGE, "ytick.color": INK, "axes.edgecolor": EDGE,
        "font.family": ["DejaVu Sans"],
    })
    from matplotlib import pyplot
    return pyplot


# ---- one panel -----------------------------------------------------------------------------------


def groups_of(lines, bigger):
    """[(case, its lines with the best first)] in the order of appearance."""
    groups = {}
    for line in lines:
        groups.setdefault(line["case"], []).append(line)
    return [(case, sorted(group, key=lambda line: line["median"], reverse=line["unit"] in bigger))
            for case, group in groups.items()]


def bars_high(lines):
    """The height of a panel in bars: each group has a line for its name and some air."""
    return len(lines) + len({line["case"] for line in lines}) * (HEAD_BARS + 0.6)


def plain(text):
    """@text without what matplotlib takes for mathematics."""
    return text.replace("$", r"\$")


def kind_of(line):
    if arena_report.is_skua(line):
        return "skua"
    return "baseline" if line.get("baseline") else "peer"


def draw_bar(axes, y, line, left):
    kind = kind_of(line)
    # Where the axis is logarithmic a figure of 0 has no bar.
    axes.barh(y, max(line["median"] - left, 0), left=left, height=0.78, color=COLOURS[kind],
              edgecolor=EDGE if kind == "baseline" else COLOURS[kind], linewidth=0.8)
    low, high = max(line["min"], left), max(line["p95"], line["median"])
    if high > low:
        axes.plot([low, high], [y, y], color=INK, linewidth=0.9, solid_capstyle="butt")
    axes.annotate(arena_report.number(line["median"]), (max(high, left), y), xytext=(4, 0),
                  textcoords="offset points", va="center", fontsize=8)


def draw_panel(axes, lines, bigger, left, height):
    """All groups from top to bottom, in @height bars: as thick as in the panel beside it."""
    ticks, labels, y = [], [], 0.0
    for case, group in groups_of(lines, bigger):
        y += HEAD_BARS
        axes.annotate(plain(case), (0, y - 0.1), xycoords=("axes fraction", "data"), xytext=(3, 0),
                      textcoords="offset points", va="center", fontweight="bold", fontsize=8.5)
        for line in group:
            y += 1
            draw_bar(axes, y, line, left)
            ticks.append(y)
            labels.append(plain(line["by"]))
        y += 0.6
    axes.set_ylim(height + 0.1, 0.3)
    axes.set_yticks(ticks, labels)
    for label, text in zip(axes.get_yticklabels(), labels):
        if text.split()[0].startswith("skua"):
            label.set_fontweight("bold")
            label.set_color(COLOURS["skua"])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", color="#dee2e6", linewidth=0.6)
    axes.set_axisbelow(True)


def scale(lines):
    """(logarithmic, where bars begin, where the axis ends, with room for the last figure)."""
    values = [line["median"] for line in lines if line["median"] > 0]
    top = max(max(line["p95"], line["median"]) for line in lines)
    if values and max(values) > LOG_SPREAD * min(values):
        left = min(values + [line["min"] for line in lines if line["min"] > 0]) / 2
        return True, left, top * (top / left) ** 0.18
    return False, 0.0, top * 1.18 or 1.0


# ---- one picture ---------------------------------------------------------------------------------


def caption(machine, width):
    """What stands below a picture: machine, kernel, commit; the command; how many runs."""
    texts = [arena_report.machine_text(machine) + "."]
    if machine:
        texts.append(f"{machine.get('command')}, medians of {machine.get('runs')} runs, "
                     f"{machine.get('flags')}, {machine.get('date')}.")
        if machine.get("quick"):
            texts.append("A quick run: these figures mean nothing.")
    return plain("\n".join("\n".join(textwrap.wrap(text, width)) for text in texts))


class Grid:
    """The lines of one picture by what is measured (rows) and number of workers (columns)."""

    def __init__(self, lines):
        self.lines = lines
        self.rows = list(dict.fromkeys((line["metric"], line["unit"]) for line in lines))
        self.columns = sorted({line["workers"] for line in lines})
        self.heights = [max(bars_high(self.cell(row, column)) for column in self.columns)
                        for row in self.rows]

    def row(self, row):
        return [line for line in self.lines if (line["metric"], line["unit"]) == row]

    def cell(self, row, column):
        return [line for line in self.row(row) if line["workers"] == column]


def draw_rows(grid, axes, bigger):
    for i, row in enumerate(grid.rows):
        logarithmic, left, right = scale(grid.row(row))
        better = "more is better" if row[1] in bigger else "less is better"
        label = plain(f"{row[0]}, {row[1]}: {better}") + ", logarithmic" * logarithmic
        for j, column in enumerate(grid.columns):
            panel, lines = axes[i][j], grid.cell(row, column)
            if not lines:
                panel.set_axis_off()
                continue
            if logarithmic:
                panel.set_xscale("log")
            else:
                panel.xaxis.set_major_formatter(lambda value, _: arena_report.number(value))
            draw_panel(panel, lines, bigger, left, grid.heights[i])
            panel.set_xlim(left, right)
            panel.set_xlabel(label, fontsize=8)
            if i == 0:
                panel.set_title(f"{column} worker{'s' * (column > 1)}", fontsize=9, loc="left")


def draw(pyplot, machine, bench, lines, path):
    bigger = set(machine.get("bigger_is_better", arena_report.BIGGER_IS_BETTER))
    grid = Grid(lines)
    width = WIDTH_INCHES * max(len(grid.columns), 1.3)
    foot = caption(machine, int(width * 19))
    question = plain(textwrap.fill(machine.get("questions", {}).get(bench, ""), int(width * 14)))
    # In inches: the title, each panel with its axis, the caption.
    above, below = 0.6 + 0.16 * question.count("\n"), 0.14 * (foot.count("\n") + 1) + 0.15
    panels = [height * BAR_INCHES for height in grid.heights]
    total = above + below + sum(panels) + 0.65 * len(panels)
    figure, axes = pyplot.subplots(
        len(grid.rows), len(grid.columns), figsize=(width, total), squeeze=False,
        layout="constrained", gridspec_kw={"height_ratios": panels})
    figure.get_layout_engine().set(rect=(0, below / total, 1, 1 - (above + below) / total))
    draw_rows(grid, axes, bigger)
    left = 0.1 / width
    figure.text(left, 1 - 0.08 / total, bench, va="top", fontsize=13, fontweight="bold")
    figure.text(left, 1 - 0.34 / total, question, va="top", fontsize=9)
    figure.text(left, 0.05 / total, foot, va="bottom", fontsize=7, color=EDGE)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "tools/bench_plot"})
    pyplot.close(figure)


def main():
    options = parse_arguments()
    machine, summaries = load(options)
    pyplot = matplotlib_pyplot()
    try:
        os.makedirs(options.folder, exist_ok=True)
        for bench in dict.fromkeys(line["bench"] for line in summaries):
            path = os.path.join(options.folder, bench + ".svg")
            draw(pyplot, machine, bench, [line for line in summaries if line["bench"] == bench],
                 path)
            print(path)
    except OSError as error:
        fail(f"{error.filename or options.folder}: {error.strerror}")


if __name__ == "__main__":
    main()
