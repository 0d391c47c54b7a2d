package doctor

import (
	"fmt"
	"path"

	"vxlan-driver/internal/diagnosis"
)

// checkUnrecorded says which containers have lost their record. Their elements in the firewall would
// be lost with the next reset, and so stay.
func checkUnrecorded(f *Facts) (findings []diagnosis.Finding) {
	for _, text := range f.Unrecorded {
		found := diagnosis.Finding{
			Code: diagnosis.RecordLost, Level: diagnosis.Failure, Summary: text,
			Evidence: []string{"ls /run/vxlan/networks/*/endpoints"}, Mend: []string{"podman restart --all"},
		}
		var container string
		if _, err := fmt.Sscanf(text, "container %s has the interface", &container); err == nil {
			found.Mend = []string{"podman restart " + container}
		}
		findings = append(findings, found)
	}
	for _, d := range f.Damaged {
		found := diagnosis.Finding{
			Code: diagnosis.RecordLost, Level: diagnosis.Failure, Summary: fmt.Sprintf("the record %s is damaged", d.Path),
			Evidence: []string{d.Why}, Mend: []string{"rm -r " + d.Path, "podman restart " + d.Container},
		}
		if d.Container == "" {
			found.Mend[1] = fmt.Sprintf("podman ps -q --filter network=%s | xargs podman restart", d.NetworkID)
		}
		findings = append(findings, found)
	}
	for _, n := range f.Networks {
		for _, u := range n.Unseen {
			findings = append(findings, namespaceLost(n, u))
		}
		if len(n.Edited) > 0 {
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.NetworkEdited, Level: diagnosis.Failure, Network: n.Name,
				Summary:  "Podman has the network otherwise than its containers run: " + n.Edited[0],
				Evidence: append(atMost(n.Edited, maxEvidence), fmt.Sprintf("diff %s %s", n.Kept, n.ConfigFile)),
				Mend:     []string{fmt.Sprintf("cp %s %s", n.Kept, n.ConfigFile)},
			})
		} else if n.ConfigFile != "" {
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.RecordLost, Level: diagnosis.Failure, Network: n.Name,
				Summary:  "Podman does not know the network any more, and its containers do not start again",
				Evidence: []string{n.ConfigFile + " is missing or damaged"},
				Mend:     []string{fmt.Sprintf("cp %s %s", n.Kept, n.ConfigFile)},
			})
		}
	}
	return findings
}

// namespaceLost is about a container that runs, and whose network namespace is not found.
func namespaceLost(n Network, u UnseenContainer) diagnosis.Finding {
	const again = "mkdir -p %s; touch %s; mount --bind /proc/$(podman inspect -f '{{.State.Pid}}' %s)/ns/net %s"
	return diagnosis.Finding{
		Code: diagnosis.NamespaceLost, Level: diagnosis.Failure, Network: n.Name,
		Summary:  fmt.Sprintf("the network namespace of container %s is not found at %s", u.Name, u.Path),
		Evidence: []string{fmt.Sprintf("findmnt %s prints no nsfs, and the container's port is there", u.Path)},
		Mend:     []string{fmt.Sprintf(again, path.Dir(u.Path), u.Path, u.Name, u.Path)},
	}
}
