package doctor

// upgradeFact is what a version of Podman, with the netavark that it needs, changes for networks.
type upgradeFact struct{ since, text string }

var upgradeFacts = []upgradeFact{
	{"5.0", "netavark is the only network back end: networks of CNI are not taken over"},
	{"6.0", "networks are strictly isolated from each other unless they have --opt isolate=false; this is decided when a container starts"},
	{"6.1", "`podman network reload` refuses a container that was started with --ip: it says that the address is in use"},
}

// UpgradeChanges says what changes for networks from one version of Podman to another.
func UpgradeChanges(from, to string) (changes []string) {
	for _, f := range upgradeFacts {
		if Older(from, f.since) && !Older(completed(to), f.since) {
			changes = append(changes, "since "+f.since+": "+f.text)
		}
	}
	return changes
}

// completed makes of 6 the last version that begins so.
func completed(version string) string {
	if len(versionNumbers(version)) == 1 {
		return version + ".999"
	}
	return version
}
