// A program that parses XML with libexpat, linked to it or, with a path as its
// argument, loading it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct XML_ParserStruct *XML_Parser;
#ifdef LINKED
XML_Parser XML_ParserCreate(const char *);
void *XML_GetBuffer(XML_Parser, int);
int XML_ParseBuffer(XML_Parser, int, int);
int XML_Parse(XML_Parser, const char *, int, int);
int XML_GetErrorCode(XML_Parser);
void XML_ParserFree(XML_Parser);
#else
static XML_Parser (*XML_ParserCreate)(const char *);
static void *(*XML_GetBuffer)(XML_Parser, int);
static int (*XML_ParseBuffer)(XML_Parser, int, int);
static int (*XML_Parse)(XML_Parser, const char *, int, int);
static int (*XML_GetErrorCode)(XML_Parser);
static void (*XML_ParserFree)(XML_Parser);
#endif

static volatile long wrong;

// Parses all the time.
static void *work(void *arg)
{
	for (;; usleep(200)) {
		XML_Parser p = XML_ParserCreate(0);
		if (XML_Parse(p, "<a><b c='d'>text</b></a>", 24, 1) != 1)
			wrong++;
		XML_ParserFree(p);
	}
	return arg;
}

int main(int argc, char **argv)
{
#ifndef LINKED
	void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return puts(dlerror()), 1;
#define LOAD(name) *(void **)&name = dlsym(library, #name)
	LOAD(XML_ParserCreate); LOAD(XML_GetBuffer); LOAD(XML_ParseBuffer); LOAD(XML_Parse); LOAD(XML_GetErrorCode); LOAD(XML_ParserFree);
#endif
	for (int i = 0; i < THREADS; i++) {
		pthread_t t;
		pthread_create(&t, 0, work, 0);
	}
	setvbuf(stdout, 0, _IOLBF, 0);
	puts("ready");
	char line[64];
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, "wrong\n")) {
			printf("%ld\n", wrong);
			continue;
		}
		XML_Parser p = XML_ParserCreate(0);
		XML_GetBuffer(p, 16);
		XML_ParseBuffer(p, -1, 0); // no buffer has a negative length
		printf("%d\n", XML_GetErrorCode(p));
		XML_ParserFree(p);
	}
	return 0;
}
