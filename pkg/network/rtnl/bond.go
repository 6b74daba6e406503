package rtnl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// miimon is how often a bond looks at the carrier of its ports, in milliseconds, unless its options say otherwise. The driver's own default is
// never, which sends packets into ports without a cable.
const miimon = "100"

// setOptions sets the options of a new bond as Documentation/networking/bonding.rst describes them, through
// /sys/class/net/NAME/bonding: that takes words and numbers alike, and knows each name by which an option may be called.
func (s *System) setOptions(b network.Bond) error {
	options := slices.Clone(b.Options)
	monitored := func(o network.BondOption) bool { return o.Name == "miimon" || o.Name == "arp_interval" }
	if !slices.ContainsFunc(options, monitored) {
		options = append(options, network.BondOption{Name: "miimon", Value: miimon})
	}
	slices.SortStableFunc(options, func(a, b network.BondOption) int { return order(a.Name) - order(b.Name) })
	var late []network.BondOption
	for _, o := range options {
		if ofPort(o.Name) {
			late = append(late, o)
			continue
		}
		if err := setOption(b.Name, o); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late == nil {
		s.late = map[string][]network.BondOption{}
	}
	s.late[b.Name] = late
	return nil
}

// order is where an option stands among the others: what others depend on comes first.
func order(name string) int {
	first := []string{"mode", "miimon", "arp_interval", "arp_ip_target", "ns_ip6_target"}
	if i := slices.Index(first, name); i >= 0 {
		return i
	}
	return len(first)
}

// ofPort says that an option names a port, and so has to wait for it.
func ofPort(name string) bool {
	return name == "primary" || name == "active_slave" || name == "queue_id"
}

// joined sets the options that waited for the port. They may call it by any of its names.
func (s *System) joined(bond string, port network.Link) error {
	s.mu.Lock()
	late := s.late[bond]
	s.mu.Unlock()
	for _, o := range late {
		name, id, numbered := strings.Cut(o.Value, ":")
		if o.Name != "queue_id" {
			name, numbered = o.Value, false
		}
		if !network.ParseSelector(name).Matches(port) {
			continue
		}
		o.Value = port.Name
		if numbered {
			o.Value += ":" + id
		}
		err := setOption(bond, o)
		if o.Name == "active_slave" && errors.Is(err, unix.EINVAL) {
			continue // without carrier it cannot be the active one yet; the bond takes another
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setOption sets one option, and says which one if it cannot be set.
func setOption(bond string, o network.BondOption) error {
	var err error
	switch o.Name {
	case "arp_ip_target":
		for target := range strings.SplitSeq(o.Value, ",") {
			err = errors.Join(err, write(bond, o.Name, "+"+target))
		}
	default:
		err = write(bond, o.Name, o.Value)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = ask(bond, o)
	}
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, unix.EACCES):
		err = fmt.Errorf("%w: a bond of this mode does not have it", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE), errors.Is(err, unix.EPERM):
		err = fmt.Errorf("%w: the bonding driver does not take this value", err)
	}
	return ip(err, "link set", bond, "type bond", o.Name, o.Value)
}

func write(bond, option, value string) error {
	if strings.Contains(option, "/") {
		return errNoOption
	}
	f, err := os.OpenFile(filepath.Join("/sys/class/net", bond, "bonding", option), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	// The name of the file says no more than the command.
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

var errNoOption = errors.New("the bonding driver has no such option")
