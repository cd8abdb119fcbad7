/** The catalog as `czctl services list` shows it. */
import type { EndpointRow, ServiceRow } from "../api/index.js";
import {
  formatRule,
  missingRules,
  type PlacedService,
  type Service,
  type ServiceEndpoint,
  serviceKey,
} from "../catalog/index.js";

export function serviceRows(
  services: readonly Service[],
  placed: readonly PlacedService[],
  withEndpoints = false,
): ServiceRow[] {
  const consumed = new Map(placed.map(each => [serviceKey(each.service), each]));
  return services.map(service => {
    const { namespace, name, kind, ports, externalName, endpoints, uncarried } = service;
    const own = consumed.get(serviceKey(service));
    const missing = missingRules(service).map(formatRule);
    const addresses = own === undefined ? [] : [own, ...own.endpoints].flatMap(each => each.addresses);
    return {
      namespace,
      name,
      kind,
      ports,
      consumed: own !== undefined,
      ...(missing.length === 0 ? {} : { missingRules: missing }),
      addresses: addresses.map(String),
      ...(externalName === undefined ? {} : { externalName }),
      ...(uncarried === undefined ? {} : { uncarried }),
      endpoints: endpoints.filter(each => each.ready).length,
      ...(withEndpoints ? { endpointList: endpoints.map(endpointRow) } : {}),
    };
  });
}

function endpointRow({ address, hostname, ready, leaving }: ServiceEndpoint): EndpointRow {
  const state = leaving ?? (ready ? "ready" : "not ready");
  return { address, ...(hostname === undefined ? {} : { hostname }), state };
}
