/*
 * launcher.h
 *	  The process that keeps databases served.
 */
#ifndef STENT_LAUNCHER_H
#define STENT_LAUNCHER_H

extern void launcher_register(void);

#endif
