"""A stand-in for a Mac with an iPhone plugged in, so that coremltools' own client runs where there is none.

`tools.py` is its xcrun, devicectl and xcodebuild; `app.py` what coremltools' app does on the phone, by its published
source; `core_ml.py` the native half of coremltools; `sitecustomize.py` lets a Python find that. The files are executed
by the kit's interpreter, whose times mean nothing.
"""
