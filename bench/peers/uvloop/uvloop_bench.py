#!/usr/bin/env python3
"""The benchmarks of peers/asyncio with uvloop, an event loop for asyncio made of libuv.

Usage: as asyncio_bench.py, which this starts with --uvloop.
"""

import os
import runpy
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.argv.append("--uvloop")
runpy.run_path(os.path.join(HERE, "..", "asyncio", "asyncio_bench.py"), run_name="__main__")
