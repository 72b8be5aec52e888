"""COMMAND of the test: every attack of the themes that are named, one JSON line each."""

import importlib
import sys

import attack

for theme in sys.argv[1:]:
    importlib.import_module(theme)
for theme, name, function in attack.ATTACKS:
    attack.say(theme, name, *attack.in_a_child(function))
