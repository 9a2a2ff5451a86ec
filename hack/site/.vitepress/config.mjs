// The docs as a site: docs/ as it is, with a menu and a search. What links to files outside of docs/
// leads to them in the repository that MEDIAROOMS_SOURCE names (https://host/path/blob/main), and is
// text without one.
import { defineConfig } from 'vitepress';
import { posix } from 'node:path';

const source = process.env.MEDIAROOMS_SOURCE?.replace(/\/$/, '');

/** Where a link of a page leads, from the root of the repository; null when it is not to a file. */
function target(page, href) {
  if (/^([a-z]+:|#|\/)/.test(href)) {
    return null;
  }
  return posix.normalize(posix.join('docs', posix.dirname(page), href));
}

/** Has links out of docs/ lead to the repository. */
function outside(md) {
  const open = md.renderer.rules.link_open;
  const close = md.renderer.rules.link_close;
  const left = [];
  md.renderer.rules.link_open = (tokens, i, options, env, self) => {
    const path = target(env.relativePath ?? '', tokens[i].attrGet('href') ?? '');
    left.push(path !== null && !path.startsWith('docs/'));
    if (!left.at(-1)) {
      return open(tokens, i, options, env, self);
    }
    return source ? `<a href="${source}/${md.utils.escapeHtml(path)}">` : '<span>';
  };
  md.renderer.rules.link_close = (tokens, i, options, env, self) => {
    if (!left.pop()) {
      return close ? close(tokens, i, options, env, self) : self.renderToken(tokens, i, options);
    }
    return source ? '</a>' : '</span>';
  };
}

const page = (text, link) => ({ text, link });

export default defineConfig({
  title: 'Mediarooms',
  description: 'WebRTC rooms as Kubernetes objects',
  srcDir: 'docs', // a copy: pages must lie where their packages are found
  outDir: '../../dist/site',
  cacheDir: '../../dist/site-cache',
  base: process.env.MEDIAROOMS_SITE_BASE ?? '/',
  ignoreDeadLinks: 'localhostLinks',
  rewrites: { 'adr/README.md': 'adr/index.md', 'spec/README.md': 'spec/index.md' },
  markdown: { config: outside },
  vite: { publicDir: false },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      page('Tutorials', '/tutorials/first-call'), page('Install', '/install'), page('Reference', '/api'),
      page('Troubleshooting', '/troubleshooting'),
    ],
    sidebar: [
      { text: 'Start', items: [page('Concepts', '/concepts'), page('Glossary', '/glossary')] },
      {
        text: 'Tutorials', items: [
          page('A first call', '/tutorials/first-call'), page('Coming from OpenVidu', '/tutorials/from-openvidu'),
          page('Rooms from Git', '/tutorials/gitops'), page('A tenant', '/tutorials/tenant'),
        ],
      },
      {
        text: 'Run it', items: [
          page('Install', '/install'), page('TLS', '/tls'), page('TURN', '/turn'), page('Monitoring', '/monitoring'),
          page('Upgrade', '/upgrading'), page('Uninstall', '/uninstall'), page('Troubleshooting', '/troubleshooting'),
          page('Load testing', '/load-testing'),
        ],
      },
      {
        text: 'Use it', items: [
          page('The room page', '/room-page'), page('The console', '/console'), page('kubectl mediarooms', '/plugin'), page('Moderation', '/moderation'), page('Recordings', '/recording'),
          page('Webhooks', '/webhooks'), page('OpenTok', '/opentok'), page('OpenTok in browsers', '/opentok-browser'),
        ],
      },
      {
        text: 'How it behaves', items: [
          page('Calls that outlive their pod', '/standby'), page('Bad networks', '/bad-networks'),
          page('Network quality', '/network-quality'), page('Recorder', '/recorder'),
        ],
      },
      {
        text: 'Reference', items: [
          page('Custom resources', '/api'), page('Flags', '/flags'), page('REST API', '/rest'), page('REST cases', '/rest-cases'),
          page('Client protocol', '/protocol-notes'), page('Protocol items', '/protocol'), page('Protocol limits', '/protocol-limits'),
          page('Limits in the code', '/limits'), page('Specifications', '/spec/'),
        ],
      },
      {
        text: 'For developers', collapsed: true, items: [
          page('Architecture', '/architecture'), page('Performance', '/performance'), page('Local cluster', '/local-cluster'),
          page('The house, measured', '/design-review'), page('Decisions', '/adr/'),
        ],
      },
    ],
  },
});
