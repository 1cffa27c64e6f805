/* SPDX-License-Identifier: MulanPSL-2.0 */
/*
 * For the sources of a live patch: functions that run when the patch is
 * switched on or off in a process, and data attached to existing objects.
 *
 * A source that includes this file compiles in an ordinary build as well: the
 * hooks are then never called.
 */
#ifndef SYSCARE_H
#define SYSCARE_H

#ifdef __KERNEL__

#include <linux/livepatch.h>

/*
 * Hooks of a patch of the kernel: functions "int name(struct klp_object *object)",
 * one of each kind for the kernel and for each module that the patch changes. They
 * run in the context of a process: before the first task is switched, and after the
 * last one was; for a module also when it is loaded or unloaded meanwhile. A result
 * of a SYSCARE_PRE_APPLY other than 0 refuses the patch. See
 * Documentation/livepatch/callbacks.rst. Shadow data is the kernel's: klp_shadow_get,
 * klp_shadow_get_or_alloc, klp_shadow_free.
 */
typedef int (*syscare_hook)(struct klp_object *object);

#else

#include <stddef.h>
#include <stdlib.h>

/*
 * Hooks. A hook is a function "int name(void)" of the patch. It runs in each
 * process while all its threads stand still, on a stack of its own, for at most
 * 200 ms. It may do what a signal handler may do: it interrupts one of the
 * threads anywhere, also inside malloc, and must not wait for a lock.
 *
 *   SYSCARE_PRE_APPLY    before the new code is switched on. A result other
 *                        than 0 refuses the process: it stays as it is.
 *   SYSCARE_POST_APPLY   after that
 *   SYSCARE_PRE_REMOVE   before the old code is switched on again
 *   SYSCARE_POST_REMOVE  after that
 *
 * The results of the last three are logged only. Hooks of one kind run in the
 * order of the patch's sources, up to the first with a result other than 0.
 */
typedef int (*syscare_hook)(void);

#endif

#define SYSCARE_HOOK(kind, function) \
	static const syscare_hook syscare_##kind##_##function \
	__attribute__((used, section(".syscare.hook." #kind))) = (function)
#define SYSCARE_PRE_APPLY(function) SYSCARE_HOOK(pre_apply, function)
#define SYSCARE_POST_APPLY(function) SYSCARE_HOOK(post_apply, function)
#define SYSCARE_PRE_REMOVE(function) SYSCARE_HOOK(pre_remove, function)
#define SYSCARE_POST_REMOVE(function) SYSCARE_HOOK(post_remove, function)

#ifndef __KERNEL__

/*
 * Shadow data: memory that the patch attaches to an object of the program,
 * where a fix wants a new member in a structure whose objects are alive. It is
 * found by the object's address and a number of the patch's choice. These
 * functions are for patched functions, not for hooks. They belong to the patch:
 * another patch, or another version of this one, has data of its own.
 */
struct syscare_shadow {
	struct syscare_shadow *next;
	const void *object;
	unsigned long id;
	size_t size;
};

#define SYSCARE_SHADOW_BUCKETS 1024

__attribute__((weak)) struct syscare_shadow *syscare_shadows[SYSCARE_SHADOW_BUCKETS];
__attribute__((weak)) int syscare_shadow_lock;

static inline struct syscare_shadow **syscare_shadow_place(const void *object, unsigned long id)
{
	unsigned long bucket = ((unsigned long)object / 16 * 31 + id) % SYSCARE_SHADOW_BUCKETS;
	struct syscare_shadow **at = &syscare_shadows[bucket];

	while (*at && ((*at)->object != object || (*at)->id != id))
		at = &(*at)->next;
	return at;
}

static inline void syscare_shadow_take(void)
{
	while (__atomic_exchange_n(&syscare_shadow_lock, 1, __ATOMIC_ACQUIRE))
		;
}

static inline void syscare_shadow_give(void)
{
	__atomic_store_n(&syscare_shadow_lock, 0, __ATOMIC_RELEASE);
}

/* The data attached to object under id; NULL if there is none. */
static inline void *syscare_shadow_get(const void *object, unsigned long id)
{
	struct syscare_shadow *found;

	syscare_shadow_take();
	found = *syscare_shadow_place(object, id);
	syscare_shadow_give();
	return found ? (void *)(found + 1) : NULL;
}

/*
 * The data attached to object under id, made of size zero bytes if there is
 * none; NULL without memory, or if there is some of another size.
 */
static inline void *syscare_shadow_attach(const void *object, unsigned long id, size_t size)
{
	struct syscare_shadow **at, *found, *made;

	made = (struct syscare_shadow *)calloc(1, sizeof *made + size);
	if (!made)
		return NULL;
	made->object = object;
	made->id = id;
	made->size = size;
	syscare_shadow_take();
	at = syscare_shadow_place(object, id);
	found = *at;
	if (!found)
		found = *at = made;
	syscare_shadow_give();
	if (found != made)
		free(made);
	return found->size == size ? (void *)(found + 1) : NULL;
}

/* To be called when object goes out of use. */
static inline void syscare_shadow_detach(const void *object, unsigned long id)
{
	struct syscare_shadow **at, *found;

	syscare_shadow_take();
	at = syscare_shadow_place(object, id);
	found = *at;
	if (found)
		*at = found->next;
	syscare_shadow_give();
	free(found);
}

#endif

#endif
