"""Makers of hostile .nvp files and payloads, for the tests of whatever reads them."""
