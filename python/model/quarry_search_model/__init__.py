"""The folder ``models/quarry-mini`` beside this file is what ``quarry`` looks for; nothing is to be imported."""
