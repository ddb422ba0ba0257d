"""Our side of a benchmark: a program that waits for questions on standard input and answers each with numbers."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).parents[2]


class Program:
    def __init__(self, bench, program=None, threads=1, device="cpu"):
        """The benchmark called `bench`, or the built `program`; cargo builds it for CUDA where `device` asks for it."""
        features = [] if device == "cpu" else ["--features", "cuda"]
        command = [program, "--bench"] if program else ["cargo", "bench", "--workspace", *features, "--bench", bench]
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "PROBESCOPE_DEVICE": device}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def numbers(self, line):
        answer = self.ask(line)
        try:
            return tuple(float(word) for word in answer.split())
        except ValueError:
            raise SystemExit(f"{line}: {answer or 'the program ended'}")
