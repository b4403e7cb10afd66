/*
 * map_peak.h
 *	  How many items of a map were in flight at once, at most.
 */
#ifndef STENT_MAP_PEAK_H
#define STENT_MAP_PEAK_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct PeakMoment
{
	Timestamp at;
	int change;
} PeakMoment;

typedef struct MapPeak
{
	int n;
	PeakMoment *moments;
	int alone; /* the most of one that took no time */
} MapPeak;

extern void map_peak_begin(MapPeak *peak, int spans);
extern void map_peak_add(MapPeak *peak, Timestamp from, Timestamp to, int items);
extern int map_peak_end(MapPeak *peak);

#endif
