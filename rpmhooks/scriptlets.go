package rpmhooks

// Helper is the program that scriptlets call.
const Helper = "/usr/libexec/syscare/syscare-hook"

// PolicyVariable is the environment variable whose value stands for on_install of
// syscare.toml: rpm passes the environment of its caller on to scriptlets.
const PolicyVariable = "SYSCARE_ON_INSTALL"

// ReportVariable is the environment variable with the path of a file to which the
// hook appends what it has done, a line of JSON for each patch.
const ReportVariable = "SYSCARE_REPORT"

// PostTrans is the text of %posttrans of the patch with this UUID: register
// it, and apply it if policy says so. It runs after the %preun of the version
// that it replaces, and its failure is not the transaction's.
func PostTrans(uuid string) string {
	return `[ -x ` + Helper + ` ] || exit 0
` + Helper + ` posttrans ` + uuid + ` || :
exit 0`
}

// PreUn is the text of %preun of the patch with this UUID: take it out of
// every process before its files vanish. $1 is the number of versions that
// stay installed.
func PreUn(uuid string) string {
	return `if [ ! -x ` + Helper + ` ]; then
    echo "warning: ` + Helper + ` is missing: processes that run patch ` + uuid + ` keep it until they restart" >&2
    exit 0
fi
` + Helper + ` preun ` + uuid + ` "$1" || [ "$1" -ne 0 ]`
}
