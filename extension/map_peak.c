/*
 * map_peak.c
 *	  How many items of a map were in flight at once, at most.
 *
 * Found out when the map ends, from when its chunks began and ended: so nothing is
 * counted while they run, and no row is hot. What ended at the moment when something
 * else began was not in flight with it.
 */
#include "postgres.h"

#include "compat.h"
#include "map_peak.h"

void
map_peak_begin(MapPeak *peak, int spans)
{
	peak->n = 0;
	peak->moments = palloc_extended(Max((Size) spans, 1) * 2 * sizeof(PeakMoment), MCXT_ALLOC_HUGE);
	peak->alone = 0;
}

/* So many items were in flight from one moment to another. */
void
map_peak_add(MapPeak *peak, Timestamp from, Timestamp to, int items)
{
	peak->alone = Max(peak->alone, items);
	if (from >= to)
		return;
	peak->moments[peak->n++] = (PeakMoment){from, items};
	peak->moments[peak->n++] = (PeakMoment){to, -items};
}

static int
compare(const void *a, const void *b)
{
	const PeakMoment *x = a;
	const PeakMoment *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->change < y->change ? -1 : x->change > y->change;
}

int
map_peak_end(MapPeak *peak)
{
	int most = peak->alone;
	int now = 0;

	qsort(peak->moments, peak->n, sizeof(PeakMoment), compare);
	for (int i = 0; i < peak->n; i++)
	{
		now += peak->moments[i].change;
		most = Max(most, now);
	}
	pfree(peak->moments);
	return most;
}
