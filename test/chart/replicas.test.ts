import t from 'tap'
import { parse } from 'yaml'
import { parseDuration } from '../../src/config/field.ts'
import { type KubernetesObject, minimal, read, render, skip } from './helm.ts'

/** Several replicas: a StatefulSet of the Deployment's pods, each with a key of its own. */

const two = { ...minimal, replicas: 2 }
const name = 'home-wg-punchhole'

const pod = ({ spec }: KubernetesObject) => spec.template.spec
const container = (object: KubernetesObject) => pod(object).containers[0]

t.test('several replicas', { skip }, async t => {
  const [one, several] = await Promise.all([render(minimal), render(two)])
  const deployment = one.get(`Deployment/${name}`)
  const set = several.get(`StatefulSet/${name}`)

  t.test('take the place of the Deployment, under the same labels', async t => {
    t.notOk(several.has(`Deployment/${name}`))
    t.notOk(one.has(`StatefulSet/${name}`))
    t.same(set.metadata, deployment.metadata)
    t.same(set.spec.selector, deployment.spec.selector)
    t.same(set.spec.template.metadata, deployment.spec.template.metadata)
  })

  t.test('one pod is replaced after the other, none waits for another to start', async t => {
    const { template, selector, ...spec } = set.spec
    t.same(spec, {
      replicas: 2,
      podManagementPolicy: 'Parallel',
      serviceName: `${name}-admin`,
      minReadySeconds: 15,
    })
    t.equal(several.get(`Service/${spec.serviceName}`).spec.clusterIP, 'None')
  })

  t.test('a new pod is awaited until the default checks of a gateway have found it', async t => {
    // Ours: two good checks 5 s apart. HAProxy's `check inter 2s rise 2` is quicker.
    t.ok(set.spec.minReadySeconds * 1000 > 2 * parseDuration('5s')!)
  })

  t.test('the pods are those of the Deployment, but for the key, the probe and where they are', async t => {
    const { args, env, readinessProbe, ...rest } = container(set)
    const { args: argsOfOne, readinessProbe: probeOfOne, ...restOfOne } = container(deployment)
    t.same(rest, restOfOne)
    t.same(
      args,
      argsOfOne.map((arg: string) =>
        arg === '/etc/wg-punchhole/wg0.conf' ? '/etc/wg-punchhole/wg0-$(POD_INDEX).conf' : arg,
      ),
    )
    t.same(env, [
      {
        name: 'POD_INDEX',
        valueFrom: { fieldRef: { fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']" } },
      },
    ])
    t.same(readinessProbe, {
      ...probeOfOne,
      httpGet: { ...probeOfOne.httpGet, path: '/readyz?patience=2m' },
    })
    const { containers, volumes, topologySpreadConstraints, ...other } = pod(set)
    const { containers: _, volumes: volumesOfOne, ...otherOfOne } = pod(deployment)
    t.same(other, otherOfOne)
    t.same(volumes.slice(1), volumesOfOne.slice(1))
    t.same(volumes[0].projected, {
      ...volumesOfOne[0].projected,
      sources: [{ secret: { name: 'wg' } }, { configMap: { name } }],
    })
    t.notOk(otherOfOne.topologySpreadConstraints)
    t.same(topologySpreadConstraints, [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: set.spec.selector,
      },
    ])
  })

  t.test('one more replica leaves the pods that there are as they are', async t => {
    const { spec } = (await render({ ...two, replicas: 3 })).get(`StatefulSet/${name}`)
    t.equal(spec.replicas, 3)
    t.same(spec.template, set.spec.template)
  })

  t.test('a changed config or key leaves them, too', async t => {
    const keys = (...keys: string[]) => ({
      ...two,
      tunnel: { wgConf: keys.map(key => `[Interface]\nPrivateKey = ${key}\n`) },
    })
    const [a, b] = await Promise.all([render(keys('A=', 'B=')), render(keys('C=', 'D=', 'E='))])
    t.same(a.get(`StatefulSet/${name}`), b.get(`StatefulSet/${name}`))
    t.not(a.get(`Secret/${name}`).data['wg0-0.conf'], b.get(`Secret/${name}`).data['wg0-0.conf'])
  })

  t.test('what a person says of the spread counts', async t => {
    const constraint = { maxSkew: 2, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }
    const objects = await render({ ...two, topologySpreadConstraints: [constraint] })
    t.same(pod(objects.get(`StatefulSet/${name}`)).topologySpreadConstraints, [constraint])
  })

  t.test('own variables stand beside the ordinal', async t => {
    const objects = await render({ ...two, extraEnv: { A: 1 } })
    t.same(container(objects.get(`StatefulSet/${name}`)).env.slice(1), [{ name: 'A', value: '1' }])
  })

  t.test('a PodDisruptionBudget lets one go, and any that is not ready', async t => {
    const budget = (objects: Map<string, KubernetesObject>) => {
      const { selector, ...spec } = objects.get(`PodDisruptionBudget/${name}`).spec
      t.same(selector, set.spec.selector)
      return spec
    }
    const unhealthyPodEvictionPolicy = 'AlwaysAllow'
    t.same(budget(several), { maxUnavailable: 1, unhealthyPodEvictionPolicy })
    t.notOk(one.has(`PodDisruptionBudget/${name}`))
    const none = { ...two, podDisruptionBudget: { maxUnavailable: 0 } }
    t.same(budget(await render(none)), { maxUnavailable: 0, unhealthyPodEvictionPolicy })
  })

  t.test('helm test asks each pod by its name', async t => {
    const { command } = several.get(`Pod/${name}-test`).spec.containers[0]
    t.same(
      command.slice(4),
      [0, 1].map(i => `http://${name}-${i}.${name}-admin.edge.svc:9586/readyz`),
    )
  })
})

t.test('files among the values become keys of a Secret, unchanged', { skip }, async t => {
  const wgConf = ['[Interface]\r\nPrivateKey = ä\n\n', '# none\n', 'x']
  for (const [secretKey, keys] of [
    ['home.conf', ['home-0.conf', 'home-1.conf', 'home-2.conf']],
    ['my.home.conf', ['my.home-0.conf', 'my.home-1.conf', 'my.home-2.conf']],
    ['key', ['key-0', 'key-1', 'key-2']],
  ] as const) {
    const objects = await render({ ...two, tunnel: { wgConf, secretKey } })
    const { data } = objects.get(`Secret/${name}`)
    t.same(Object.keys(data).sort(), keys, 'one more than there are pods is no harm')
    for (const [ordinal, key] of keys.entries())
      t.equal(Buffer.from(data[key], 'base64').toString(), wgConf[ordinal])
    const { args } = container(objects.get(`StatefulSet/${name}`))
    t.ok(args.includes(`/etc/wg-punchhole/${keys[0].replace('-0', '-$(POD_INDEX)')}`))
  }
})

t.test('values.yaml says of the patience what the program takes', async t => {
  t.equal(parseDuration(parse(read('chart/values.yaml')).gatewayPatience), 120_000)
})
