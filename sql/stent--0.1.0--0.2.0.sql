\echo Use "ALTER EXTENSION stent UPDATE TO '0.2.0'" to load this file. \quit
