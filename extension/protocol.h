/*
 * protocol.h
 *	  The versions of the worker protocol that this library speaks.
 *
 * The number rises when a worker written for the functions as they are would misunderstand
 * them; functions and arguments that are added do not raise it.
 */
#ifndef STENT_PROTOCOL_H
#define STENT_PROTOCOL_H

#define PROTOCOL_MIN 1
#define PROTOCOL_MAX 1

#endif
