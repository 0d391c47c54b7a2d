package config

import (
	"errors"
	"fmt"
	"math"
	"os/user"
	"slices"
	"strconv"
)

// parseUsers parses users that are named or numbered. Whether there is one of a name may change, so that
// is not asked here.
func parseUsers(typed []any) (users []string, err error) {
	var errs []error
	for _, u := range typed {
		text := fmt.Sprint(u)
		switch u := u.(type) {
		case int64:
			if u < 0 || u >= math.MaxUint32 {
				errs = append(errs, fmt.Errorf("allow_users %d: must be from 0 to 4294967294", u))
				continue
			}
		case string:
			if u == "" {
				errs = append(errs, errors.New(`allow_users "": must be a user's name or number`))
				continue
			}
		default:
			errs = append(errs, fmt.Errorf("allow_users %s: must be a user's name or number", text))
			continue
		}
		users = append(users, text)
	}
	return users, errors.Join(errs...)
}

// AllowedUserIDs returns the numbers of AllowUsers, sorted. The error names those that this host does
// not have.
func (c Config) AllowedUserIDs() (ids []uint32, err error) {
	var errs []error
	for _, name := range c.AllowUsers {
		id := name
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			found, err := user.Lookup(name)
			if err != nil {
				errs = append(errs, fmt.Errorf(
					"allow_users %q: this host's /etc/passwd has no such user; write the number of a user from elsewhere", name))
				continue
			}
			id = found.Uid
		}
		number, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			errs = append(errs, fmt.Errorf("allow_users %q: has the number %s, which is none: %w", name, id, err))
			continue
		}
		ids = append(ids, uint32(number))
	}
	slices.Sort(ids)
	return slices.Compact(ids), errors.Join(errs...)
}
