/*
 * proxy.h
 *	  Between client and server: passes messages on until the one it is told to cut at.
 */
#ifndef STENT_UNIT_PROXY_H
#define STENT_UNIT_PROXY_H

#include <stdbool.h>

typedef struct Proxy Proxy;

/* Listens in a directory of its own, and passes on to the server of PGHOST and PGPORT. */
extern Proxy *proxy_new(void);
extern void proxy_free(Proxy *proxy);

/* Where libpq finds it: "host=..." */
extern const char *proxy_conninfo(const Proxy *proxy);

/*
 * Ends the next connection at its n-th message (of either side, from 1; 0: never): before
 * it, or in the midst of it. Whether that happened since.
 */
extern void proxy_cut(Proxy *proxy, int n, bool midst);
extern bool proxy_has_cut(const Proxy *proxy);

/* Ends the next n connections before their first message. */
extern void proxy_refuse(Proxy *proxy, int n);

#endif
