"""Makes tiny.h5, the file that the tests of `shd` read: python3 make_tiny.py (needs h5py and numpy).

Sample s has s * 3 spikes: spike k of channel (100 * s + k) at (s + k / 16) / 8 seconds, which half precision holds exactly.
"""
import h5py
import numpy as np

SAMPLES = 4

with h5py.File("tiny.h5", "w") as file:
    times = file.create_dataset("spikes/times", (SAMPLES,), dtype=h5py.vlen_dtype(np.float16))
    units = file.create_dataset("spikes/units", (SAMPLES,), dtype=h5py.vlen_dtype(np.uint16))
    for s in range(SAMPLES):
        k = np.arange(3 * s)
        times[s] = ((s + k / 16) / 8).astype(np.float16)
        units[s] = (100 * s + k).astype(np.uint16)
    file.create_dataset("labels", data=np.array([3, 0, 19, 7], dtype=np.uint16))
    keys = [f"digit {c}".encode() for c in range(20)]
    file.create_dataset("extra/keys", data=np.array(keys))
    file.create_dataset("extra/speaker", data=np.array([1, 2, 3, 4], dtype=np.uint16))
