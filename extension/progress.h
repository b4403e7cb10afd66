/*
 * progress.h
 *	  What handlers tell of their progress.
 */
#ifndef STENT_PROGRESS_H
#define STENT_PROGRESS_H

extern void progress_init(void);

#endif
