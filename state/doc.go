// Package state knows which patches are installed and moves them through
// their states. Manager is the only writer of the state store; it works the
// same in the command line tool, in scriptlets and in the service.
//
// It may import state/metadata, engine/object, engine/patchobject and below.
// Processes and the kernel are reached through the Engine interface only; packages
// state/userengine and state/kernelengine implement it.
//
// # What the state of a patch is
//
// The processes are the truth; the store adds what they cannot tell (that a
// patch is accepted, or registered while nothing runs its target). From the
// recorded state and what the processes of the target's build IDs carry:
//
//  1. A process runs the patch's code: at least ACTIVED, whatever is recorded.
//     ACCEPTED stays ACCEPTED.
//  2. ACTIVED or ACCEPTED is recorded, no process is active, and some carry
//     the code switched off: DEACTIVED.
//  3. ACTIVED or ACCEPTED is recorded and no process carries the code: it
//     stands, because the patch is registered for processes to come; Status
//     tells how many of the running ones are patched. After an interrupted
//     removal it is NOT-APPLIED: the removal had come to its end there.
//  4. Nothing is recorded (a lost store) and processes carry the code switched
//     off: DEACTIVED. After a recorded removal such code is a leftover that
//     the process may still hold a pointer into: NOT-APPLIED.
//  5. A record from before the last boot counts as NOT-APPLIED; ACCEPTED ones
//     are what Restore brings back.
//  6. A patch of the kernel is in what the kernel carries, if its kernel runs: rule 3
//     does not hold for it, since there are no kernels to come.
//  7. The patch's files or metadata are not acceptable: UNKNOWN, unless it
//     is recorded or found as applied, by its metadata or its record. UNKNOWN
//     is also what a user is told who may read neither store nor processes.
//
// # Versions
//
// Of the versions of one patch (same name, same target package) one is active.
// Applying another one takes the place of the first, in one stop of each process
// and in all processes or none; with best effort, the processes that it cannot
// reach keep the first. A move that was interrupted is finished, or the first
// version brought back.
//
// # Invariants
//
//   - A patch whose files are not owned by root, are writable by others, or
//     differ from their digests is never loaded. It can be removed.
//   - Every move writes its intent before it touches a process and its result
//     after; whoever takes the lock next settles an intent without result.
//   - state.json is replaced as a whole or not at all.
//   - Readers need no lock and change nothing.
//
// Example:
//
//	m, err := state.New(state.Options{Engine: userengine.New(logger)})
//	result, err := m.Apply(ctx, "redis-6.2.5-1/HP001", state.MoveOptions{})
package state
