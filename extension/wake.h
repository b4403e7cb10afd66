/*
 * wake.h
 *	  Waking workers that wait for work, by NOTIFY.
 */
#ifndef STENT_WAKE_H
#define STENT_WAKE_H

#include "postgres.h"

#endif
