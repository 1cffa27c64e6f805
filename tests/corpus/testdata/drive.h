/*
 * A driver reads names of probes from its standard input. For each it forks,
 * and what the probe prints, and how it ended, is printed. Memory is strict:
 * every block ends where an unmapped page begins, and is unmapped when freed,
 * so that what reads or writes beyond ends at once.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

struct block { size_t size, pages; }; /* directly before the memory */
static int allocations_left = -1;     /* malloc fails when it comes to 0 */
static int exact;                     /* no rounding up for alignment */

void *malloc(size_t size)
{
	size_t room = exact ? size : (size + 15) / 16 * 16;
	size_t pages = (room + sizeof(struct block) + 4095) / 4096 + 1;
	struct block block = { size, pages };
	char *at;

	if (allocations_left == 0 || size > (size_t)1 << 40)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	at = (char *)mmap(NULL, pages * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED || mprotect(at, (pages - 1) * 4096, PROT_READ | PROT_WRITE))
		return NULL;
	at += (pages - 1) * 4096 - room;
	memcpy(at - sizeof block, &block, sizeof block);
	return at;
}

static struct block block_of(void *p)
{
	struct block block;

	memcpy(&block, (char *)p - sizeof block, sizeof block);
	return block;
}

void free(void *p)
{
	if (p)
		munmap((char *)(((uintptr_t)p - sizeof(struct block)) & ~(uintptr_t)4095), block_of(p).pages * 4096);
}

void *calloc(size_t n, size_t size)
{
	return n && size > SIZE_MAX / n ? NULL : malloc(n * size);
}

void *realloc(void *p, size_t size)
{
	void *to = malloc(size);

	if (p && to) {
		size_t old = block_of(p).size;
		memcpy(to, p, old < size ? old : size);
		free(p);
	}
	return to;
}

#ifdef __cplusplus
}
#endif

struct probe { const char *name; void (*run)(void); };

static int drive(const struct probe *probes)
{
	char name[100];

	while (fgets(name, sizeof name, stdin)) {
		name[strcspn(name, "\n")] = 0;
		for (const struct probe *p = probes; p->name; p++) {
			if (strcmp(p->name, name))
				continue;
			fflush(stdout);
			pid_t child = fork();
			if (child == 0) {
				p->run();
				fflush(stdout);
				_exit(0);
			}
			int status = 0;
			waitpid(child, &status, 0);
			printf("\nend of %s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "exit",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			fflush(stdout);
		}
	}
	return 0;
}
