package bundle

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"vxlan-driver/internal/regfile"
)

// removed stands where a secret was.
const removed = "(removed)"

// minSecret is the length of the shortest secret that is looked for. Shorter ones, such as "1", would
// remove half of all text.
const minSecret = 8

// maxSecretFile is more than a file of keys has.
const maxSecretFile = 1 << 16

var (
	// secretShape is what secrets look like: 32 bytes in base64, and a token by which a host joins.
	// Hexadecimal keys look like IDs of networks, so they are only known by their value.
	secretShape = regexp.MustCompile(`\bvx1\.[A-Za-z0-9_.-]+|[A-Za-z0-9+/_-]{43}=`)
	// secretSetting is a setting, or a variable of an environment, that has a secret.
	secretSetting = regexp.MustCompile(
		`(?i)\b([a-z0-9_]*(?:password|passwd|secret|token|api_?key))(["']?\s*[=:]\s*["']?)([^\s"',]+)`)
	secretEnv = regexp.MustCompile(`(?i)password|passwd|secret|token|key`)
)

// Secrets are texts that no file of an archive has.
type Secrets []string

// FindSecrets reads what must not be in an archive: all lines of files, and variables of environ that
// are called like a secret. A key is one in each of its spellings. A file that is no file of keys does
// no harm, and one that cannot be read cannot be in the archive either.
func FindSecrets(files, environ []string) Secrets {
	var found Secrets
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxSecretFile {
			continue
		}
		data, _ := regfile.Read(path, maxSecretFile)
		for line := range strings.Lines(string(data)) {
			found = found.add(strings.TrimSpace(line))
		}
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if secretEnv.MatchString(name) && !filepath.IsAbs(value) {
			found = found.add(value)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) }) // one may begin with another
	return found
}

func (s Secrets) add(text string) Secrets {
	if len(text) < minSecret {
		return s
	}
	s = append(s, text)
	key, err := hex.DecodeString(text)
	if err != nil {
		key, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || len(key) < minSecret {
		return s
	}
	asHex := hex.EncodeToString(key)
	return append(s, asHex, strings.ToUpper(asHex), base64.StdEncoding.EncodeToString(key),
		base64.RawStdEncoding.EncodeToString(key), base64.URLEncoding.EncodeToString(key))
}

// Remove takes the secrets out of a text, and what looks like one.
func (s Secrets) Remove(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, removed)
	}
	text = secretSetting.ReplaceAllString(text, "${1}${2}"+removed)
	return secretShape.ReplaceAllString(text, removed)
}
