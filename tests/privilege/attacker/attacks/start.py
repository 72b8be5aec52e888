"""COMMAND of the three starts on one volume: `first`, `second`, `third`."""

import os
import sys

import attack
import next_start

if sys.argv[1] == "first":
    next_start.plant()
elif sys.argv[1] == "second":
    next_start.plant_compiled()
    for name, function in next_start.harvest():
        attack.say("next_start", name, *attack.in_a_child(function))
    next_start.plant_link()
attack.say("next_start", "started", "succeeded")
