/*
 * retry.c
 *	  How long to wait before the next attempt to connect.
 *
 * The formula is that of the extension's retry policies: min(initial * factor^(n-1),
 * max), then jitter either way.
 */
#include <math.h>
#include <sys/random.h>

#include "stent.h"

const StentRetry stent_retry_default = {
	.max_attempts = 0,
	.initial_delay = 0.1,
	.backoff_factor = 2.0,
	.max_delay = 10.0,
	.jitter = 0.2,
};

/* A random number from -1 to 1; 0 if the system has none yet. */
static double
random_sign(void)
{
	uint32_t bits;

	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) != (ssize_t) sizeof(bits))
		return 0;
	return 2.0 * bits / (double) UINT32_MAX - 1.0;
}

/* The delay before attempt n + 1, after n have failed; < 0: no more attempts. */
double
stent_retry_delay(const StentRetry *retry, int n)
{
	double delay;

	if (retry == NULL || n < 1 || (retry->max_attempts > 0 && n >= retry->max_attempts))
		return -1;
	/* The power may be infinite; the smaller of it and max_delay is not. */
	delay = fmin(retry->initial_delay * pow(retry->backoff_factor, n - 1), retry->max_delay);
	delay += delay * retry->jitter * random_sign();
	return delay > 0 ? delay : 0;
}
