"""Synthetic people: the data set that the project makes itself, since the real ones need signed forms.

`people` draws who someone is, `body` how they stand, `figure` their outline, `appearance` what a visible and a thermal
camera see of them, `places` what is behind them, `cameras` what a sensor does to it, `crops` one picture, `dataset` a
folder of them and `scene` two synchronised videos. Numbers measured on this data are numbers on synthetic data.
"""
