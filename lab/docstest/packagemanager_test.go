package docstest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// packageManager is the program by which the newcomer installs and removes the package.
type packageManager struct {
	format    string            // of packages
	prepare   string            // a script; the newcomer answers all questions with yes
	commands  *strings.Replacer // makes the page's commands those of this program
	installed string            // what it prints at the end of an installation

	listEdited string // a script that lists the package's files that are not as shipped
}

var apt = packageManager{
	format:    "deb",
	prepare:   `echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/yes`,
	commands:  strings.NewReplacer(),
	installed: "Setting up vxlan-driver",

	listEdited: "dpkg --verify vxlan-driver",
}

// rpmRepository makes a host like one of a distribution with rpm. Its repository has packages with the
// names and versions of those that the host has, but with nothing in them: the programs are there.
const rpmRepository = `set -eu
make_rpm() {
	printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: none\nLicense: none\nBuildArch: noarch\n%%description\n%%files\n' "$1" "$2" >/tmp/$1.spec
	rpmbuild --quiet --define '_rpmdir /root/rpms' -bb /tmp/$1.spec
}
for name in podman netavark nftables; do
	make_rpm $name "$(dpkg-query -W -f '${Version}' $name | sed 's/-[^-]*$//; s/^[0-9]*://; s/[^0-9.].*//')"
done
createrepo_c -q /root/rpms
mkdir -p /etc/yum.repos.d
printf '[distribution]\nname=distribution\nbaseurl=file:///root/rpms\ngpgcheck=0\n' >/etc/yum.repos.d/distribution.repo
echo assumeyes=1 >>/etc/dnf/dnf.conf
mkdir -p /usr/share/licenses # every system with rpm has it
dnf -q makecache`

// readCommand finds a command on a page, where it stands in the text or in a table.
func readCommand(t *testing.T, page, begin string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/user/" + page)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("`(" + begin + "[^`]*)`").FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s has no command that begins with %q", page, begin)
	}
	return string(found[1])
}

// The quickstart by dnf, with the commands that the pages have for it. DNF=1 is set by
// make test-packages, with a tree that has dnf.
func TestQuickstartByDnf(t *testing.T) {
	if os.Getenv("DNF") == "" {
		t.Skip("needs a tree of its own, which takes minutes to make: make test-packages")
	}
	followQuickstart(t, packageManager{
		format: "rpm", prepare: rpmRepository, installed: "Complete!", listEdited: "rpm -V vxlan-driver || true",
		commands: strings.NewReplacer(
			"apt install ./vxlan-driver_*.deb", readCommand(t, "quickstart.md", "dnf install "),
			// Unlike apt's purge, this keeps what is the administrator's. Podman stays.
			"apt purge vxlan-driver", readCommand(t, "install.md", "rpm -e ")+" && rpm -q podman netavark && rm -r /var/lib/vxlan && rm -rf /etc/vxlan",
		),
	})
}
