/* Rule: changed bodies are selected with strings, tables, statics and clones; the rest is bound. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int global_counter = 3;
static int file_counter;
static __thread int thread_counter;
struct ops {
	int (*run)(int);
};

__attribute__((noinline)) static int helper(int x)
{
	static int calls;
	calls++;
	return x * calls + file_counter;
}

static const struct ops table[] = {{helper}, {helper}};

__attribute__((cold, noinline)) void fail(const char *message)
{
	fprintf(stderr, "%s\n", message);
}

#ifdef PATCHED
static int added_state = 7;
static const char *const added_names[] = {"alpha", "beta", "gamma"};
__attribute__((noinline)) static int added(int x)
{
	static int added_calls;
	added_calls += added_state++;
	return (int)strlen(added_names[x % 3]) + added_calls;
}
#endif

int choose(int x)
{
	switch (x) {
	case 0: return puts("zero");
	case 1: return puts("one");
	case 2: return 7;
	case 3: return puts("three");
	case 4: return thread_counter++;
	case 5: return helper(3);
	}
	if (__builtin_expect(x > 1000, 0)) {
		fail("big");
		fail(__func__);
		abort();
	}
#ifdef PATCHED
	global_counter++;
	return table[x & 1].run(x) + added(x);
#else
	return table[x & 1].run(x);
#endif
}

__attribute__((noinline)) void *address_of_helper(void)
{
	return (void *)helper;
}

__attribute__((noinline)) void *address_of_choose(void)
{
#ifdef PATCHED
	file_counter++;
#endif
	return (void *)choose;
}

__attribute__((noinline)) void *address_of_free(void)
{
#ifdef PATCHED
	file_counter++;
#endif
	return (void *)free;
}

__attribute__((noinline)) void *standard_error(void)
{
#ifdef PATCHED
	file_counter++;
#endif
	return (void *)stderr;
}

int main(int argc, char **argv)
{
	file_counter = argv[0] != NULL;
	printf("%d\n", choose(argc));
	return address_of_helper() == address_of_free() || standard_error() == address_of_choose();
}
