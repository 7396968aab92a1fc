import t from 'tap'
import { parse } from 'yaml'
import { parseDuration } from '../../src/config/field.ts'
import { type KubernetesObject, minimal, render, skip } from './helm.ts'

/** What charts of this kind get wrong, each held here. */

async function deployment(values: object): Promise<KubernetesObject> {
  return (await render(values)).get('Deployment/home-wg-punchhole')
}

t.test('the deployment', { skip }, async t => {
  const { spec } = await deployment(minimal)
  const pod = spec.template.spec
  const [container, ...others] = pod.containers

  t.test('two pods never have the one key at the same time', async t => {
    t.same(spec.strategy, { type: 'Recreate' })
    t.equal(spec.replicas, 1)
  })

  t.test('liveness is about this process alone, and no probe fails by default', async t => {
    const get = (path: string) => ({ path, port: 'admin' })
    t.same(container.livenessProbe.httpGet, get('/livez'))
    t.same(container.readinessProbe.httpGet, get('/readyz'))
    t.same(container.startupProbe.httpGet, get('/startupz'))
    t.same(container.ports, [{ name: 'admin', containerPort: 9586 }])
    t.same(container.args.slice(-2), ['--admin', ':9586'], 'the port they ask is the one it listens on')
  })

  t.test('nothing is started before or beside the program, nor by a shell', async t => {
    t.same(others, [])
    t.notOk(pod.initContainers)
    t.notOk(container.command)
    t.notOk(container.lifecycle)
    t.same(container.args, [
      'run',
      '--config',
      '/etc/wg-punchhole/config.yaml',
      '--wg-conf',
      '/etc/wg-punchhole/wg0.conf',
      '--admin',
      ':9586',
    ])
  })

  t.test('config and key are one projected folder, so that an edit shows up', async t => {
    t.same(pod.volumes[0], {
      name: 'config',
      projected: {
        defaultMode: 0o400,
        sources: [
          { secret: { name: 'wg', items: [{ key: 'wg0.conf', path: 'wg0.conf' }] } },
          { configMap: { name: 'home-wg-punchhole' } },
        ],
      },
    })
    t.same(container.volumeMounts[0], { name: 'config', mountPath: '/etc/wg-punchhole', readOnly: true })
    t.notMatch(JSON.stringify(spec), 'subPath')
  })

  t.test('a changed config or key leaves the pod as it is: the program reloads', async t => {
    const other = { listen: 'tunnel:443', target: 'traefik.dmz.svc.cluster.local.:443' }
    const wgConf = (address: string) => ({ tunnel: { wgConf: `[Interface]\nAddress = ${address}\n` } })
    t.same((await deployment({ ...minimal, config: { forwards: { https: other } } })).spec, spec)
    t.same(await deployment(wgConf('10.1.10.2/32')), await deployment(wgConf('10.1.10.3/32')))
  })

  t.test('one capability, none of the default ones', async t => {
    t.same(container.securityContext, {
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
    })
    t.same(pod.securityContext, {
      runAsUser: 0,
      runAsGroup: 0,
      seccompProfile: { type: 'RuntimeDefault' },
      sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }],
    })
    t.notOk(pod.hostNetwork)
  })

  t.test('only the run folder is writable, and it is memory', async t => {
    t.same(pod.volumes[1], { name: 'run', emptyDir: { medium: 'Memory' } })
    t.same(container.volumeMounts[1], { name: 'run', mountPath: '/var/run/wireguard' })
  })

  t.test('no token, no environment of other Services', async t => {
    t.equal(pod.automountServiceAccountToken, false)
    t.equal(pod.enableServiceLinks, false)
    t.notOk(container.env)
  })

  t.test('the drain ends before the grace period', async t => {
    const objects = await render({ tunnel: minimal.tunnel })
    const config = parse(objects.get('ConfigMap/home-wg-punchhole').data['config.yaml'])
    t.equal(parseDuration(config.drainTimeout), 30_000)
    t.ok(pod.terminationGracePeriodSeconds * 1000 > 30_000)
  })
})

t.test('the device', { skip }, async t => {
  const podWith = async (tunnel: object) => {
    const { spec } = await deployment({ tunnel: { existingSecret: 'wg', ...tunnel } })
    return { ...spec.template.spec.containers[0], volumes: spec.template.spec.volumes }
  }
  const tun = { name: 'tun', hostPath: { path: '/dev/net/tun', type: 'CharDevice' } }

  const hostPath = await podWith({})
  t.same(hostPath.volumes[2], tun)
  t.same(hostPath.volumeMounts[2], { name: 'tun', mountPath: '/dev/net/tun' })

  const plugin = await podWith({ device: 'devicePlugin', deviceResource: 'squat.ai/tun' })
  t.equal(plugin.volumes.length, 2)
  t.equal(plugin.volumeMounts.length, 2)
  t.same(plugin.resources.limits, { memory: '512Mi', 'squat.ai/tun': 1 })
  t.same(plugin.securityContext, hostPath.securityContext)

  const privileged = await podWith({ device: 'privileged' })
  t.equal(privileged.volumes.length, 2)
  t.same(privileged.securityContext, { readOnlyRootFilesystem: true, privileged: true })
})

t.test('labels of a person never take the pod from its Deployment', { skip }, async t => {
  const { spec } = await deployment({
    ...minimal,
    podLabels: { 'app.kubernetes.io/name': 'x', team: 'edge' },
  })
  t.match(spec.template.metadata.labels, spec.selector.matchLabels)
  t.equal(spec.template.metadata.labels.team, 'edge')
})

t.test('environment variables are strings', { skip }, async t => {
  const { spec } = await deployment({ ...minimal, extraEnv: { B: 1, A: true, ON: 'x: y' } })
  t.same(spec.template.spec.containers[0].env, [
    { name: 'A', value: 'true' },
    { name: 'B', value: '1' },
    { name: 'ON', value: 'x: y' },
  ])
})

t.test('the image', { skip }, async t => {
  const image = async (values: object) =>
    (await deployment({ ...minimal, image: values })).spec.template.spec.containers[0].image
  const digest = `sha256:${'0'.repeat(64)}`
  t.equal(await image({ repository: 'example.com/a' }), 'example.com/a:0.1.0')
  t.equal(await image({ repository: 'example.com/a', tag: '2' }), 'example.com/a:2')
  t.equal(await image({ repository: 'example.com/a', tag: '2', digest }), `example.com/a@${digest}`)
})

t.test('how the pod resolves names, of one pod and of several', { skip }, async t => {
  const dns = {
    dnsPolicy: 'None',
    dnsConfig: { nameservers: ['10.96.0.10'], options: [{ name: 'ndots', value: '1' }] },
    hostAliases: [{ ip: '203.0.113.1', hostnames: ['gateway.example.com'] }],
  }
  for (const [kind, values] of [
    ['Deployment', minimal],
    ['StatefulSet', { ...minimal, replicas: 2 }],
  ] as const) {
    const specOf = async (more: object) =>
      (await render({ ...values, ...more })).get(`${kind}/home-wg-punchhole`).spec.template.spec
    t.match(await specOf(dns), dns, kind)
    const spec = await specOf({})
    for (const field of Object.keys(dns)) t.notOk(field in spec, `${field} is the cluster's own by default`)
  }
})
