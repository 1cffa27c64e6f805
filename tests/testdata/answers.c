// A library whose functions are fixed while programs use it. With PATCHED it
// is the fixed one.
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef PATCHED
enum { FIXED = 100 };
#else
enum { FIXED = 0 };
#endif

#define API __attribute__((noinline, visibility("default")))

__attribute__((visibility("default"))) int answers_exported = 5; // the program has a copy of this one (copy relocation)
static int hidden_state = 7;
__attribute__((visibility("hidden"))) int shared_state = 9;
__attribute__((visibility("default"))) __thread int answers_tls = 11; // dynamic models
static __thread int local_tls = 13;
static __thread int other_tls = 17;

// Another library or the program may take this function's place.
API int answers_interposed(int n) { return n + 1; }

// A function of which there are two versions.
__asm__(".symver answers_old_version, answers_versioned@ANSWERS_1");
__asm__(".symver answers_new_version, answers_versioned@@ANSWERS_2");
API int answers_old_version(void) { return 1 + FIXED; }
API int answers_new_version(void) { return 2 + FIXED; }

// An indirect function.
static int fast(int n) { return n * 2; }
static int (*choose(void))(int) { return fast; }
API int answers_indirect(int n) __attribute__((ifunc("choose")));

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

// Everything at once: own data of all kinds, other functions of the library,
// and functions and data of other libraries.
API int answers_state(int n)
{
	hidden_state += n;
	shared_state += n;
	answers_exported += n;
	return hidden_state * 10000 + shared_state * 100 + answers_exported + FIXED * 1000000;
}

API int answers_threads(int n)
{
	answers_tls += n;
	local_tls += n;
	other_tls += n;
	return answers_tls * 10000 + local_tls * 100 + other_tls + FIXED * 10000;
}

API int answers_calls(int n)
{
	return answers_interposed(n) * 100 + answers_indirect(n) + FIXED * 1000;
}

API int answers_libc(const char *text)
{
	int sorted[] = {3, 1, 2};
	qsort(sorted, 3, sizeof *sorted, compare);
	char *copy = strdup(text);
	errno = 0;
	long n = strtol(copy, 0, 10);
	int bad = errno;
	free(copy);
	fprintf(stderr, "%s", "");
#ifdef PATCHED
	// None of these does the old library know.
	char upper[32] = {0};
	for (int i = 0; text[i] && i < 31; i++)
		upper[i] = toupper((unsigned char)text[i]);
	time_t now = time(0);
	struct tm tm;
	gmtime_r(&now, &tm);
	n += strcspn(upper, "0123456789") + strnlen(upper, 20) + (memchr(upper, '1', 31) != 0) + (int)floor(2.5 + n) + (tm.tm_year > 0);
#endif
	return (int)n * 10 + (bad == ERANGE) + sorted[0] - 1 + FIXED;
}

API void *answers_pointer(void) { return FIXED ? (void *)answers_interposed : (void *)answers_interposed; }

// The address of a function that is itself replaced.
API void *answers_own(void) { return FIXED && hidden_state == -1 ? 0 : (void *)answers_calls; }

API int answers_output(char *out, size_t size)
{
	return snprintf(out, size, "%s", FIXED ? "fixed" : "flawed");
}
