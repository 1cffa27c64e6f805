/* SPDX-License-Identifier: MulanPSL-2.0 */
/*
 * For fixes of the kernel that were written for kpatch: its names for what
 * syscare.h and the kernel have.
 */
#ifndef KPATCH_MACROS_H
#define KPATCH_MACROS_H

#include <linux/syscalls.h>
#include <linux/static_call.h>
#include <syscare.h>

typedef struct klp_object patch_object;

/* The last three return nothing there. */
#define KPATCH_HOOK(kind, function) \
	static const syscare_hook syscare_##kind##_##function \
	__attribute__((used, section(".syscare.hook." #kind))) = (syscare_hook)(void *)(function)
#define KPATCH_PRE_PATCH_CALLBACK(function) SYSCARE_PRE_APPLY(function)
#define KPATCH_POST_PATCH_CALLBACK(function) KPATCH_HOOK(post_apply, function)
#define KPATCH_PRE_UNPATCH_CALLBACK(function) KPATCH_HOOK(pre_remove, function)
#define KPATCH_POST_UNPATCH_CALLBACK(function) KPATCH_HOOK(post_remove, function)

/* System calls and static calls need nothing of their own here. */
#define KPATCH_SYSCALL_DEFINE0 SYSCALL_DEFINE0
#define KPATCH_SYSCALL_DEFINE1 SYSCALL_DEFINE1
#define KPATCH_SYSCALL_DEFINE2 SYSCALL_DEFINE2
#define KPATCH_SYSCALL_DEFINE3 SYSCALL_DEFINE3
#define KPATCH_SYSCALL_DEFINE4 SYSCALL_DEFINE4
#define KPATCH_SYSCALL_DEFINE5 SYSCALL_DEFINE5
#define KPATCH_SYSCALL_DEFINE6 SYSCALL_DEFINE6
#define KPATCH_STATIC_CALL(name) static_call(name)

#endif
