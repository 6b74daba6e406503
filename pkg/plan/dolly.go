package plan

import (
	"slices"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/options"
)

func setDollyOptions(p *Plan, w cmdline.Param) error {
	p.reading.dolly = true
	return options.Apply(&p.Image.Dolly, w.Value)
}

// finishDolly tells of options for a ring where there is none.
func (p *Plan) finishDolly() {
	if p.reading.dolly && !slices.ContainsFunc(p.Image.URLs, fetch.URL.Pushed) {
		p.warnf("rd.kiwi.live.dolly_options has no effect: root= names no ring, live:dolly://")
	}
}
