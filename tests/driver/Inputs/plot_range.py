"""Does the plot of a study show the band around its baseline? plot_range.py study.gp"""
import re
import sys

text = open(sys.argv[1]).read()
low, high = map(float, re.search(r"set yrange \[(.*):(.*)\]", text).groups())
rectangle = re.search(r"set object 1 rectangle.*", text).group()
band = [float(y) for y in re.findall(r"first ([0-9.]+)", rectangle)]
assert len(band) == 2 and low < band[0] and band[1] < high, (low, high, band)
