"""A plant's server without its web part, for test_server_kill.py: takes what waits in the spool until it is killed."""

import sys
import time
from dataclasses import replace
from pathlib import Path

from infra.folder import DataFolder
from infra.plantfile import load
from infra.runtime import Runtime

if __name__ == "__main__":
    plant_file, data = map(Path, sys.argv[1:])
    with DataFolder(data) as folder:
        runtime = Runtime(replace(load(plant_file), channels={}, escalations={}), folder, "")
        print("taking", flush=True)
        runtime.start()
        while True:
            time.sleep(1)
