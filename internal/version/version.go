package version

import (
	"cmp"
	"runtime/debug"
)

// linked is set by the Makefile (-ldflags -X) to what `git describe` says.
var linked string

// String returns the program's version: that of the Makefile, or else what the go command recorded
// in the program, as it does for `go install` and `go build`.
func String() string {
	info, _ := debug.ReadBuildInfo()
	return cmp.Or(linked, recordedVersion(info), "unknown")
}

// revisionLen is how many digits of a commit's hash are shown.
const revisionLen = 12

// recordedVersion returns the module's version, or else the commit; "" if neither is known.
func recordedVersion(info *debug.BuildInfo) string {
	if info == nil {
		return ""
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var revision, suffix string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(revisionLen, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			suffix = "-dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + suffix
}
