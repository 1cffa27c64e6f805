// Package specgen turns RPM packages into the input of a patch build, and its
// output into RPM packages.
//
// It answers one question: which packages does a patch come from and become?
//
//	in:  UnpackSource       source package -> build tree and rpmbuild commands
//	     ExtractDebuginfo   debuginfo package -> debug files with build IDs
//	     OpenHotpatchSource our own source package -> what it was made from
//	out: WriteBinary        patch-<target>-<name>-<version>-<release>.<arch>.rpm
//	     WriteSource        <target>-<name>-<version>-<release>.<arch>.src.rpm
//
// It may import rpmfile, rpmhooks, state/metadata, engine/object, rpmpack and
// the standard library. It runs rpmbuild and nothing else.
//
// Invariants:
//   - WriteBinary and "rpmbuild --rebuild" of WriteSource's package give the
//     same names, dependencies, scriptlets and files;
//   - the same Content gives the same bytes;
//   - nothing outside the given directories is written;
//   - a patch package never holds back an update of its target: it requires
//     the target's version or a later one.
package specgen
