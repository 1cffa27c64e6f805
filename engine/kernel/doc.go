// Package kernel drives live patches of the running kernel: modules that register
// replacements of functions with the kernel's own livepatch core.
//
// It answers one question: how does a livepatch module get into the kernel and out again,
// such that afterwards either all tasks run the new code or none does, and who holds that
// up? The kernel itself moves tasks one by one, each when nothing on its stack is being
// replaced; see Documentation/livepatch in the kernel's sources.
//
// It may import engine/object and nothing else of this module.
//
// Invariants:
//   - what is told of a patch is read from /sys, never remembered;
//   - a change that does not finish in time is reversed, and the kernel is what it was;
//   - a module is only unloaded when no task runs its code.
package kernel
