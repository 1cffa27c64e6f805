// A program that uses the library of answers.c, linked to it or, with a path as
// its argument, loading it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LINKED
extern int answers_exported;
int answers_state(int), answers_threads(int), answers_calls(int), answers_libc(const char *), answers_versioned(void);
int answers_output(char *, size_t);
void *answers_pointer(void), *answers_own(void);
int answers_interposed(int);
#ifdef INTERPOSES
int answers_interposed(int n) { return n + 5; }
#endif
#define FUNCTION(name) name
#else
#define FUNCTION(name) ((__typeof__(&name##_type))dlsym(library, #name))
int answers_state_type(int), answers_threads_type(int), answers_calls_type(int), answers_libc_type(const char *), answers_versioned_type(void);
int answers_output_type(char *, size_t);
void *answers_pointer_type(void), *answers_own_type(void);
int answers_interposed_type(int);
static void *library;
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static int question, answer;

// A second thread with thread-local variables of its own.
static void *second(void *arg)
{
	pthread_mutex_lock(&lock);
	for (;;) {
		while (!question)
			pthread_cond_wait(&wake, &lock);
		answer = FUNCTION(answers_threads)(1);
		question = 0;
		pthread_cond_broadcast(&wake);
	}
	return arg;
}

int main(int argc, char **argv)
{
#ifndef LINKED
	library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		puts(dlerror());
		return 1;
	}
#endif
	pthread_t t;
	pthread_create(&t, 0, second, 0);
	setvbuf(stdout, 0, _IOLBF, 0);
	puts("ready");
	char line[64], text[32];
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, "state\n")) printf("%d\n", FUNCTION(answers_state)(1));
#ifdef LINKED
		else if (!strcmp(line, "exported\n")) printf("%d\n", answers_exported);
#endif
		else if (!strcmp(line, "threads\n")) printf("%d\n", FUNCTION(answers_threads)(1));
		else if (!strcmp(line, "second\n")) {
			pthread_mutex_lock(&lock);
			question = 1;
			pthread_cond_broadcast(&wake);
			while (question)
				pthread_cond_wait(&wake, &lock);
			printf("%d\n", answer);
			pthread_mutex_unlock(&lock);
		}
		else if (!strcmp(line, "calls\n")) printf("%d\n", FUNCTION(answers_calls)(3));
		else if (!strcmp(line, "libc\n")) printf("%d\n", FUNCTION(answers_libc)("12"));
		else if (!strcmp(line, "versioned\n")) printf("%d\n", FUNCTION(answers_versioned)());
		else if (!strcmp(line, "pointer\n")) printf("%d %d\n", FUNCTION(answers_pointer)() == (void *)FUNCTION(answers_interposed), FUNCTION(answers_own)() == (void *)FUNCTION(answers_calls));
		else if (!strcmp(line, "output\n")) { FUNCTION(answers_output)(text, sizeof text); puts(text); }
		else puts("?");
	}
	return 0;
}
