package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/liveboot/liveboot/pkg/network"
)

// previousPath is where an initramfs that was made for kexec holds what the kernel before it left.
const previousPath = "etc/liveboot/previous.json"

// Previous is what a boot under another kernel leaves for the one that it starts by kexec. That it is there keeps the second from starting a third.
type Previous struct {
	// Kernel is its version, Why the reason for not keeping it.
	Kernel string `json:"kernel"`
	Why    string `json:"why"`
	// Uptime in seconds, from its start to kexec.
	Uptime float64 `json:"uptime"`
	// RTC is what the machine's clock showed then, in seconds since 1970; 0 if it has none.
	RTC int64 `json:"rtc,omitempty"`
	// Bytes of the image that were received, for the new kernel and its drivers.
	Bytes int64 `json:"bytes"`
	// Deployed says that it brought the image to the disk, so that nothing is to be overwritten any more.
	Deployed bool `json:"deployed,omitempty"`
	// Stages that it went through.
	Stages []StageReport `json:"stages"`
	// Addresses that DHCP gave, by the hardware addresses of the cards.
	Addresses map[string]netip.Addr `json:"addresses,omitempty"`
}

// readPrevious returns what the kernel before left in the initramfs, nil where there was none. What cannot be read is one all the same.
func readPrevious(root fs.FS) (*Previous, error) {
	text, err := fs.ReadFile(root, previousPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p := &Previous{Kernel: "of unknown version"}
	if err == nil {
		err = json.Unmarshal(text, p)
	}
	if err != nil {
		return p, fmt.Errorf("read what the kernel before this one left: %w", err)
	}
	return p, nil
}

// addresses returns what DHCP gave to each card.
func addresses(active []network.Active) map[string]netip.Addr {
	all := make(map[string]netip.Addr)
	for _, a := range active {
		for _, lease := range a.Leases {
			if lease.Method == network.DHCP4 {
				all[a.Link.MAC.String()] = lease.Address.Addr()
			}
		}
	}
	return all
}
