/* A program that answers one line per question; the fix is compiled with
 * -DPATCHED. Each question asks about one kind of reference. Functions are
 * noipa, lest callers change with them: main never returns. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int other_file(int x);
int same_program(int x) { return x + 1; }
int (*stored)(int);
static int C = 40, L = 50;
static __thread int per_thread = 60;
void *free_seen_by_main;
FILE *stderr_seen_by_main;

#ifdef PATCHED
#define NEW(new, old) new
static int added_state = 100;
static const char *const added_names[] = {"zero", "one", "two"};
__attribute__((noipa)) static int added(int x)
{
	static int calls;
	calls++;
	added_state += calls;
	return added_state + (int)strlen(added_names[x % 3]);
}
/* A helper that only the new code has, and that runs for a while. */
__attribute__((noipa)) static int linger(int x)
{
	usleep(1500000);
	return x;
}
#else
#define NEW(new, old) old
#endif

/* The address of a function of the same program, through a slot with -fPIC. */
__attribute__((noipa)) int function_of_the_program(void)
{
	int (*f)(int) = same_program;
	return f(NEW(10, 0)) * 10 + (f == stored);
}

/* The address of a function of a library is the same everywhere. */
__attribute__((noipa)) int function_of_a_library(void)
{
	return NEW(20, 10) + ((void *)free == free_seen_by_main);
}

/* Data that the linker copied out of a library. */
__attribute__((noipa)) int copied_data(void)
{
	fprintf(stderr, "%s", NEW("new", "old"));
	return NEW(20, 10) + (stderr == stderr_seen_by_main);
}

__attribute__((noipa)) static int check(int x) { return x * x * NEW(3, 2); }

/* Static variables with the names of a compiler's constants keep their value. */
__attribute__((noipa)) int oddly_named(void)
{
	return ++C * 100 + ++L + NEW(1000, 0) * 10;
}

__attribute__((noipa)) int thread_local_data(void) { return ++per_thread + NEW(1000, 0); }

__attribute__((noipa)) int switched(int x)
{
	switch (x % 7) {
	case 0: return NEW(70, 7);
	case 1: return strlen(__func__) + NEW(100, 0);
	case 2: return NEW(added(x), x);
	case 3: return NEW(linger(x), x);
	case 4: return x * 3;
	case 5: return same_program(x);
	}
	return -1;
}

__attribute__((cold, noipa)) void unlikely_path(int x) { printf("cold %d ", x); }

/* The fix is in the part that the compiler moves away as unlikely. */
__attribute__((noipa)) int cold_change(int x)
{
	if (__builtin_expect(x > 100, 0)) {
		unlikely_path(NEW(2, 1));
		return NEW(222, 111);
	}
	return x * 2;
}

/* The fix calls a library function that the program did not import. */
__attribute__((noipa)) int not_imported(void) { return NEW((int)labs(-9L) + atoi("30") + (int)strspn("aab", "a"), 9); }

__attribute__((noipa)) int recursive(int n)
{
	if (n == 0)
		return NEW(5, 0);
	n = recursive(n - 1);
	__asm__ volatile("" : "+r"(n)); /* not to become a formula */
	return n + 1;
}

static volatile int spinning = 1;
static void *spin(void *unused)
{
	long n = 0;
	(void)unused;
	while (spinning) {
		n += switched(4) + recursive(3);
		for (volatile int i = 0; i < 20000; i++)
			;
	}
	return (void *)n;
}

__attribute__((noinline)) void answer(char *line)
{
	line[strcspn(line, "\n")] = 0;
	if (!strcmp(line, "program")) printf("%d\n", function_of_the_program());
	else if (!strcmp(line, "library")) printf("%d\n", function_of_a_library());
	else if (!strcmp(line, "copied")) printf("%d\n", copied_data());
	else if (!strcmp(line, "names")) printf("%d %d\n", check(7), other_file(7));
	else if (!strcmp(line, "odd")) printf("%d\n", oddly_named());
	else if (!strcmp(line, "thread")) printf("%d\n", thread_local_data());
	else if (!strcmp(line, "switch")) printf("%d %d %d\n", switched(0), switched(1), switched(5));
	else if (!strcmp(line, "added")) printf("%d\n", switched(2));
	else if (!strcmp(line, "linger")) printf("%d\n", switched(3));
	else if (!strcmp(line, "cold")) { int r = cold_change(1000); printf("%d\n", r); }
	else if (!strcmp(line, "imported")) printf("%d\n", not_imported());
	else if (!strcmp(line, "recursive")) printf("%d\n", recursive(3));
	else printf("?\n");
}

int main(void)
{
	char line[64];
	pthread_t threads[4];
	stored = same_program;
	free_seen_by_main = (void *)free;
	stderr_seen_by_main = stderr;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, spin, NULL);
	printf("ready\n");
	while (fgets(line, sizeof line, stdin)) {
		if (strlen(line) > 60)
			continue;
		answer(line);
	}
	return 0;
}
