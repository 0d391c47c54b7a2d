package output

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// filter is one --filter.
type filter struct {
	key, pattern string
	not          bool
}

// filterKey makes what is typed of a column's heading.
func filterKey(heading string) string { return strings.ReplaceAll(strings.ToLower(heading), " ", "-") }

func parseFilters(texts, keys []string) (filters []filter, err error) {
	for _, text := range texts {
		key, pattern, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--filter %q: type COLUMN=VALUE", text)
		}
		key, not := strings.CutSuffix(key, "!")
		if !slices.Contains(keys, key) {
			return nil, fmt.Errorf("--filter %q: there is no column %q; there are %s", text, key, strings.Join(keys, ", "))
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("--filter %q: %w", text, err)
		}
		filters = append(filters, filter{key, pattern, not})
	}
	return filters, nil
}

// matches tells whether a row passes: filters of one column are alternatives, as in Podman, and
// each column's must hold. Of filters with != each must hold.
func matches(filters []filter, text func(key string) string) bool {
	wanted := make(map[string]bool) // by column
	for _, f := range filters {
		// A slash is no separator here.
		found, _ := path.Match(strings.ReplaceAll(f.pattern, "/", "\x00"), strings.ReplaceAll(text(f.key), "/", "\x00"))
		if f.not {
			if found {
				return false
			}
			continue
		}
		wanted[f.key] = wanted[f.key] || found
	}
	for _, found := range wanted {
		if !found {
			return false
		}
	}
	return true
}
