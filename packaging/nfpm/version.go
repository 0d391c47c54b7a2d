package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// described is what `git describe --tags --always --dirty` prints where there is a tag.
var described = regexp.MustCompile(`^v?(\d+(?:\.\d+)*)(?:-((?:alpha|beta|rc)[.\d]*))?(?:-(\d+)-g([0-9a-f]+))?(-dirty)?$`)

// packageVersion turns what git describe prints into a version that dpkg, rpm and pacman order as
// the commits are. None of them takes a hyphen. A commit without a release before it is older than
// any release.
func packageVersion(describe string, date time.Time) string {
	m := described.FindStringSubmatch(describe)
	if m == nil {
		return fmt.Sprintf("0.0.0+git%s.%s", date.Format("20060102150405"), strings.ReplaceAll(describe, "-", "."))
	}
	version, candidate, commits, hash, dirty := m[1], m[2], m[3], m[4], m[5]
	if candidate != "" {
		version += "~" + candidate // sorts before the release
	}
	switch {
	case commits != "":
		version += "+" + commits + ".g" + hash
	case dirty != "":
		version += "+0"
	}
	return version + strings.Replace(dirty, "-", ".", 1)
}
