/*
 * fault.h
 *	  Places where a test may crash, fail or hold the engine.
 *
 * Compiled in with -DSTENT_FAULTS (make FAULTS=1); otherwise nothing. The
 * superuser setting stent.fault names one point and an action:
 *
 *	  <point>:crash[:n]		SIGKILL to this backend, at the n-th pass
 *	  <point>:error[:n]		an error (XX000), at the n-th pass
 *	  <point>:lock:key		wait for the advisory lock, at every pass
 *	  trace				a NOTICE, at every pass of every point
 */
#ifndef STENT_FAULT_H
#define STENT_FAULT_H

extern void fault_init(void);

#ifdef STENT_FAULTS
extern void fault_point(const char *name);
#define STENT_FAULT(name) fault_point(name)
#else
#define STENT_FAULT(name) ((void) 0)
#endif

#endif
