#!/usr/bin/env python3
"""What the command lines of the programs have in common (tools/common/tool_options.c): what is
shown, what is refused and in which words, and the exit status.

Usage: tool_options_test.py PATH-OF-SKUA-PROXY [unittest options]

The programs beside it are tried that have been built; skua-sum keeps coreutils' words.
"""
import pathlib
import subprocess
import sys
import unittest

DEADLINE_S = 60
PROGRAMS = []
# An option of each that takes a number of seconds, and the least it takes.
SECONDS = {"skua-proxy": ("--fail-time", "0.001"), "skua-httpd": ("--drain", "0"),
           "skua-load": ("--warmup", "0"), "skua-crawl": ("--grace", "0")}


def run(program, *args, stdout=subprocess.PIPE):
    done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S)
    return done.returncode, done.stdout, done.stderr


class ToolOptionsTest(unittest.TestCase):
    def check_refused(self, words, program, *args):
        wanted = (2, "", "%s: %s; try --help\n" % (program.name, words))
        self.assertEqual(run(program, *args), wanted)

    def each(self, *without):
        return [program for program in PROGRAMS if program.name not in without]

    def test_help_and_version_are_shown(self):
        for program in self.each():
            code, out, err = run(program, "--help")
            self.assertEqual((code, err), (0, ""))
            self.assertTrue(out.startswith("Usage: " + program.name))
            code, out, err = run(program, "--version")
            self.assertEqual((code, err), (0, ""))
            self.assertRegex(out, "^" + program.name + r" \(skua\) \d+\.\d+\.\d+\n$")

    def test_says_when_what_it_shows_is_lost(self):
        for program in self.each():
            for option in ("--help", "--version"):
                with open("/dev/full", "w") as full:
                    self.assertEqual(run(program, option, stdout=full), (
                        1, None, program.name + ": write error: No space left on device\n"))

    def test_help_comes_before_what_is_wrong_behind_it(self):
        for program in self.each():
            self.assertEqual(run(program, "--help", "--nothing")[0], 0)

    def test_unknown_options_are_named(self):
        for program in self.each("skua-sum"):
            for option in ("--nothing", "--nothing=3"):
                what = "no such option, or more than one begins like that: '%s'"
                self.check_refused(what % option, program, option)
            self.check_refused("no such option: '-Z'", program, "-Z")
            self.check_refused("no such option: '-Z'", program, "-qZ")
            self.check_refused("this option has no argument: '--quiet=1'", program, "--quiet=1")
            self.check_refused("an argument is missing after '--workers'", program, "--workers")

    def test_numbers_out_of_range_name_option_and_range(self):
        for program in self.each("skua-sum"):
            for text in ("0", "257", "-1", "+1", " 1", "1x", "", "0x2", "1.0", "9" * 30):
                words = "--workers: '%s' is not a whole number from 1 to 256" % text
                self.check_refused(words, program, "--workers=" + text)
            option, least = SECONDS[program.name]
            for text in ("-1", "x", "", "nan", "inf", "1e7", "1s"):
                words = "%s: '%s' is not a number of seconds from %s to 1000000"
                self.check_refused(words % (option, text, least), program, option + "=" + text)

    def test_options_may_be_shortened_and_have_their_argument_apart(self):
        for program in self.each("skua-sum"):
            words = "--workers: '0' is not a whole number from 1 to 256"
            self.check_refused(words, program, "--wor", "0")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv.pop(1)).parent
    PROGRAMS = [path for path in (folder / name for name in ("skua-sum", *SECONDS))
                if path.is_file()]
    if len(PROGRAMS) < 2:
        sys.exit("tool_options_test: no programs in %s" % folder)
    unittest.main()
