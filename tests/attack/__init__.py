"""Attacks: damaged and hostile inputs by the thousand, to find what the program does not survive.

`python -m tests.attack --seed 0 images 20000` tries 20,000 damaged images; without a kind, all of
them are tried. `cage` runs the cases in processes of their own, `mutate` does the damage.
"""
