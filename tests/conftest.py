"""Puts this folder on the import path, for the modules that tests of several folders share."""
