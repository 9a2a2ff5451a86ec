package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// podSeries is the series of the media pod; the others are floors.
const podSeries = "media pod"

// picture is the cost of a packet against the number of subscribers, as SVG.
type picture struct {
	order  []string
	series map[string][]point
}

type point struct {
	x int
	y float64
}

func newPicture() *picture { return &picture{series: map[string][]point{}} }

// point adds a point, unless x is 0: what has no place on the axis is in the tables only.
func (p *picture) point(series string, x int, y float64) {
	if x == 0 {
		return
	}
	if _, known := p.series[series]; !known {
		p.order = append(p.order, series)
	}
	p.series[series] = append(p.series[series], point{x, y})
}

// Measures of the picture, in pixels: of all, and of the margins around the axes.
const (
	pictureWidth, pictureHeight = 720, 360
	marginLeft, marginRight     = 56, 176
	marginTop, marginBottom     = 44, 48
	plotWidth                   = pictureWidth - marginLeft - marginRight
	plotHeight                  = pictureHeight - marginTop - marginBottom
	labelHeight                 = 16
)

// pictureStyle has colours for light and dark surroundings: the media pod in blue, floors in greys, which their dashes tell apart.
const pictureStyle = `
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .title { font-size: 14px; font-weight: 600; fill: #1f2328; }
  .pod-label { font-weight: 600; fill: #0969da; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .floor { stroke: #6e7781; stroke-width: 1.5; fill: none; }
  .floor-dot { fill: #6e7781; }
  .pod { stroke: #0969da; stroke-width: 2.5; fill: none; }
  .pod-dot { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .title { fill: #f0f6fc; }
    .pod-label { fill: #58a6ff; }
    .grid { stroke: #3d444d; }
    .floor { stroke: #9198a1; }
    .floor-dot { fill: #9198a1; }
    .pod { stroke: #58a6ff; }
    .pod-dot { fill: #58a6ff; }
  }`

// write writes forwarding-cost.svg into a folder.
func (p *picture) write(folder string) error {
	return os.WriteFile(filepath.Join(folder, "forwarding-cost.svg"), []byte(p.svg()), 0o644)
}

// axis is the greatest value of an axis that ends at a round number, and the distance of its lines.
func axis(most float64) (end, step float64) {
	step = math.Pow(10, math.Floor(math.Log10(most)))
	switch {
	case most/step < 2:
		step /= 4
	case most/step < 5:
		step /= 2
	default:
		step *= 2
	}
	return math.Ceil(most/step) * step, step
}

func (p *picture) svg() string {
	var most float64
	var widest int
	for _, points := range p.series {
		for _, at := range points {
			most, widest = max(most, at.y), max(widest, at.x)
		}
	}
	end, step := axis(max(most, 1))
	x := func(value int) float64 { return marginLeft + plotWidth*float64(value)/float64(max(widest, 1)) }
	y := func(value float64) float64 { return marginTop + plotHeight*(1-value/end) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="CPU per forwarded packet against the number of subscribers">`,
		pictureWidth, pictureHeight, pictureWidth, pictureHeight)
	fmt.Fprintf(&b, "\n<style>%s\n</style>\n", pictureStyle)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="22">CPU per forwarded packet, in microseconds</text>`+"\n", marginLeft)
	for value := 0.0; value <= end+step/2; value += step {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			marginLeft, y(value), marginLeft+plotWidth, y(value), marginLeft-8, y(value)+4, value)
	}
	for _, at := range p.series[podSeries] {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(at.x), marginTop+plotHeight+18, at.x)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">subscribers of one publisher, 1.5 Mbps</text>`+"\n",
		marginLeft+plotWidth/2, marginTop+plotHeight+38)
	p.lines(&b, x, y)
	p.labels(&b, y)
	b.WriteString("</svg>\n")
	return b.String()
}

// dashes tell the floors apart.
var dashes = []string{"", "6 4", "2 3"}

// lines draws the series.
func (p *picture) lines(b *strings.Builder, x func(int) float64, y func(float64) float64) {
	for i, name := range p.order {
		class, dash := "floor", dashes[i%len(dashes)]
		if name == podSeries {
			class, dash = "pod", ""
		}
		var path []string
		for _, at := range p.series[name] {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x(at.x), y(at.y)))
		}
		fmt.Fprintf(b, `<polyline class="%s" stroke-dasharray="%s" points="%s"/>`+"\n", class, dash, strings.Join(path, " "))
		for _, at := range p.series[name] {
			fmt.Fprintf(b, `<circle class="%s-dot" cx="%.1f" cy="%.1f" r="3"/>`, class, x(at.x), y(at.y))
		}
		b.WriteString("\n")
	}
}

// labels writes each series' name beside its last point, and moves apart those that would touch.
func (p *picture) labels(b *strings.Builder, y func(float64) float64) {
	type label struct {
		name string
		at   float64
	}
	var all []label
	for _, name := range p.order {
		points := p.series[name]
		all = append(all, label{name, y(points[len(points)-1].y) + 4})
	}
	slices.SortFunc(all, func(a, b label) int { return int(math.Copysign(1, a.at-b.at)) })
	for i := 1; i < len(all); i++ {
		all[i].at = max(all[i].at, all[i-1].at+labelHeight)
	}
	for _, l := range all {
		class := ""
		if l.name == podSeries {
			class = ` class="pod-label"`
		}
		fmt.Fprintf(b, `<text%s x="%d" y="%.1f">%s</text>`+"\n", class, marginLeft+plotWidth+12, l.at, l.name)
	}
}
